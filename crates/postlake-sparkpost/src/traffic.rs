//! Seeded traffic: messages that live, as batches of events.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::batch::{Batch, EventId, EventKey, uuid_text};
use crate::catalog::{EventClass, EventType};
use crate::dice::{Dice, scramble, uuid_of};
use crate::fields::{self, Field};
use crate::json::{Json, Style};
use crate::message::{Facts, Message, subaccount};
use crate::population::{
    BLOCK, GENERATION, HARD, LATE, POLICY, RELAY, Refusal, SMS, SOFT, SUBACCOUNTS, Subaccount,
};

/// Room for an event in a batch's buffer; events have about 1,200 bytes.
const EVENT_ROOM_BYTES: usize = 1_600;
/// The longest time between two events of one message, in new messages of the whole traffic.
const WHEEL_SLOTS: usize = 512;
/// Simulated time between two events, unless [`Traffic::set_gap`] says otherwise.
const DEFAULT_GAP: Duration = Duration::from_millis(10);
/// The share of new messages that a storm's subaccount sends, in parts of a thousand.
const STORM_SHARE: u32 = 700;

/// A deterministic generator of event batches.
///
/// The same seed, start and sequence of calls give the same bytes, on any machine. Event ids, message ids
/// and batch ids are unique within a generator and, in all likelihood, between generators of another seed or
/// start. Memory is bounded: messages live for at most a few hundred new messages.
#[derive(Debug)]
pub struct Traffic {
    dice: Dice,
    /// Moves all ids, so that another seed or start gives other ones.
    id_base: u64,
    events_written: u64,
    messages_made: u64,
    clock_us: i64,
    gap_us: u64,
    style: Style,
    mix: Mix,
    storm: Option<&'static Subaccount>,
    plans: Vec<Vec<&'static Field>>,
}

#[derive(Debug)]
enum Mix {
    /// Messages live. The slots hold what happens next; the first slot is now.
    Lives { wheel: VecDeque<Vec<Pending>> },
    /// Unrelated events with every documented field, one type after the other.
    Cycle { types: Vec<EventType>, next: usize },
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    message: Message,
    next: EventType,
}

impl Traffic {
    /// Live traffic of the ten senders; the first event happens at `start_at`.
    #[must_use]
    pub fn new(seed: u64, start_at: DateTime<Utc>) -> Self {
        let clock_us = start_at.timestamp_micros();
        Self {
            dice: Dice::new(seed),
            id_base: scramble(scramble(seed) ^ clock_us as u64),
            events_written: 0,
            messages_made: 0,
            clock_us,
            gap_us: DEFAULT_GAP.as_micros() as u64,
            style: Style::Current,
            mix: Mix::Lives {
                wheel: (0..WHEEL_SLOTS).map(|_| Vec::new()).collect(),
            },
            storm: None,
            plans: EventType::ALL
                .into_iter()
                .map(|event_type| fields::of(event_type).collect())
                .collect(),
        }
    }

    /// Only these types, one after the other, each event with every documented field of its type and a
    /// message of its own. An empty list means live traffic, as without this call.
    #[must_use]
    pub fn only(mut self, types: &[EventType]) -> Self {
        if !types.is_empty() {
            self.mix = Mix::Cycle {
                types: types.to_vec(),
                next: 0,
            };
        }
        self
    }

    /// All 27 types in turn, with every documented field.
    #[must_use]
    pub fn all_types(self) -> Self {
        self.only(&EventType::ALL)
    }

    /// Spells values as SparkPost did until about 2018.
    #[must_use]
    pub fn with_style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Simulated time between two events; up to half of it more or less by chance.
    pub fn set_gap(&mut self, gap: Duration) {
        self.gap_us = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX >> 1);
    }

    /// Moves the simulated clock. Messages in flight live on at the new time.
    pub fn set_clock(&mut self, now: DateTime<Utc>) {
        self.clock_us = now.timestamp_micros();
    }

    /// The simulated clock: the time of the last event.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock_us).unwrap_or_default()
    }

    /// From now on this subaccount sends most of the new messages and nearly all of them bounce as blocked;
    /// `None`, or an unknown number, ends it.
    pub fn set_storm(&mut self, subaccount_id: Option<u32>) {
        self.storm = subaccount_id.and_then(subaccount);
    }

    /// The next batch of exactly `n_events` good events; `[]` for zero.
    pub fn next_batch(&mut self, n_events: usize) -> Batch {
        let mut json = Json::new(n_events * EVENT_ROOM_BYTES + 2, self.style);
        let mut keys = Vec::with_capacity(n_events);
        json.raw("[");
        for index in 0..n_events {
            if index > 0 {
                json.raw(",");
            }
            keys.push(self.write_item(&mut json));
        }
        json.raw("]");
        self.batch(json.into_bytes(), keys, 0)
    }

    /// Wraps a body that is complete, with an id of its own.
    pub(crate) fn batch(&mut self, body: Vec<u8>, keys: Vec<EventKey>, rejects: usize) -> Batch {
        Batch {
            id: uuid_text(self.next_uuid()),
            body: Bytes::from(body),
            events: keys.len(),
            rejects,
            keys,
        }
    }

    /// An empty buffer in the generator's style.
    pub(crate) fn buffer(&self, capacity: usize) -> Json {
        Json::new(capacity, self.style)
    }

    /// Unrelated events of every type with every field, whose ids differ from this generator's.
    pub(crate) fn sibling_of_all_types(&self, seed: u64) -> Self {
        let mut sibling = Self::new(seed, self.now()).all_types();
        sibling.id_base = self.id_base.wrapping_add(1);
        sibling
    }

    /// A number that no other call on this generator has given, for bodies that must differ.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.messages_made += 1;
        self.messages_made
    }

    /// Writes one item `{"msys":{class:{...}}}` and gives its identity.
    pub(crate) fn write_item(&mut self, json: &mut Json) -> EventKey {
        let (pending, full) = self.next_pending();
        let Pending { mut message, next } = pending;
        self.tick();
        let at_ms = self.clock_us.div_euclid(1000);
        message.queued_ms = queued_ms(&message, next, at_ms);
        let key = EventKey {
            event_type: next,
            id: self.next_id(next),
        };
        let facts = Facts {
            what: next,
            id: key.id,
            message: &message,
            at_ms,
            full,
        };
        json.raw("{\"msys\":{");
        json.key(next.class().name());
        json.raw("{");
        if let Some(plan) = self.plans.get(next as usize) {
            fields::write(plan, &facts, json);
        }
        json.raw("}}}");
        if !full {
            self.live_on(message, next);
        }
        key
    }

    fn tick(&mut self) {
        let step = self.gap_us / 2 + self.dice.below(self.gap_us + 1);
        self.clock_us = self.clock_us.saturating_add_unsigned(step);
    }

    /// Ids grow like SparkPost's: 18 digits, unique, with a part of their own for each generator.
    pub(crate) fn next_id(&mut self, event_type: EventType) -> EventId {
        self.events_written += 1;
        let serial = self.events_written;
        match event_type.class() {
            _ if !event_type.has_event_id() => EventId::Content(serial),
            EventClass::AbTest | EventClass::Ingest => EventId::Uuid(self.next_uuid()),
            _ => EventId::Number(
                100_000_000_000_000_000
                    + self.id_base % 8_000_000 * 100_000_000_000
                    + serial * 97 % 100_000_000_000,
            ),
        }
    }

    fn next_uuid(&mut self) -> u128 {
        let base = u128::from(self.id_base);
        uuid_of(self.dice.uuid() ^ (base << 64 | base))
    }

    fn next_pending(&mut self) -> (Pending, bool) {
        match &mut self.mix {
            Mix::Cycle { types, next } => {
                let event_type = types.get(*next).copied().unwrap_or(EventType::Injection);
                *next = (*next + 1) % types.len().max(1);
                (self.lone_event(event_type), true)
            }
            Mix::Lives { wheel } => {
                if let Some(pending) = wheel.front_mut().and_then(Vec::pop) {
                    return (pending, false);
                }
                wheel.rotate_left(1);
                (self.first_event(), false)
            }
        }
    }

    /// An event with every field, of a message of its own. Never the primary account: it has no
    /// `subaccount_id` to show.
    fn lone_event(&mut self, event_type: EventType) -> Pending {
        let sender = self.dice.pick_weighted(
            &SUBACCOUNTS,
            |subaccount| {
                if subaccount.id == 0 { 0 } else { 1 }
            },
        );
        let mut message = self.new_message(sender);
        message.injected_ms -= self.dice.between(400, 90_000) as i64;
        message.refusal = refusal_for(&mut self.dice, event_type);
        message.retries = self.dice.below(4) as u8;
        Pending {
            message,
            next: event_type,
        }
    }

    /// The first event of a new message: nearly always its injection.
    fn first_event(&mut self) -> Pending {
        let sender = match self.storm {
            Some(sender) if self.dice.chance(STORM_SHARE) => sender,
            _ => self
                .dice
                .pick_weighted(&SUBACCOUNTS, |subaccount| subaccount.weight),
        };
        let mut message = self.new_message(sender);
        let next = if self.dice.chance(988) {
            EventType::Injection
        } else {
            *self.dice.pick(&RARE)
        };
        message.refusal = refusal_for(&mut self.dice, next);
        Pending { message, next }
    }

    fn new_message(&mut self, sender: &'static Subaccount) -> Message {
        let serial = self.next_serial();
        let id = (self.id_base & 0xff_ffff) << 40 | serial & 0xff_ffff_ffff;
        let injected_ms = self.clock_us.div_euclid(1000);
        Message::new(&mut self.dice, sender, id, injected_ms)
    }

    /// Decides what happens to the message after this event, and when.
    fn live_on(&mut self, mut message: Message, emitted: EventType) {
        let storm = self
            .storm
            .is_some_and(|storm| storm.id == message.subaccount.id);
        let Some((next, slots)) = next_event(&mut self.dice, &mut message, emitted, storm) else {
            return;
        };
        let (low, high) = slots;
        let slot = self.dice.between(low, high) as usize;
        if let Mix::Lives { wheel } = &mut self.mix
            && let Some(slot) = wheel.get_mut(slot)
        {
            slot.push(Pending { message, next });
        }
    }
}

/// Events that are not part of an outbound message's life, or end it before it starts.
static RARE: [EventType; 12] = [
    EventType::PolicyRejection,
    EventType::GenerationFailure,
    EventType::GenerationRejection,
    EventType::SmsStatus,
    EventType::RelayInjection,
    EventType::RelayRejection,
    EventType::RelayDelivery,
    EventType::RelayTempfail,
    EventType::RelayPermfail,
    EventType::AbTestCompleted,
    EventType::IngestSuccess,
    EventType::IngestError,
];

/// Milliseconds in the queue: from injection to the last attempt. Events after that keep the value.
fn queued_ms(message: &Message, event_type: EventType, at_ms: i64) -> u64 {
    use EventType as T;
    match event_type {
        T::Delivery | T::Delay | T::Bounce => (at_ms - message.injected_ms).max(0) as u64,
        _ if message.queued_ms == 0 => 366 + message.part(3, 12),
        _ => message.queued_ms,
    }
}

fn refusal_for(dice: &mut Dice, event_type: EventType) -> &'static Refusal {
    match event_type {
        EventType::Bounce if dice.chance(500) => dice.pick(&HARD),
        EventType::Bounce => dice.pick(&BLOCK),
        EventType::OutOfBand => dice.pick(&LATE),
        EventType::PolicyRejection => dice.pick(&POLICY),
        EventType::GenerationFailure | EventType::GenerationRejection => dice.pick(&GENERATION),
        EventType::RelayRejection | EventType::RelayTempfail | EventType::RelayPermfail => {
            dice.pick(&RELAY)
        }
        EventType::SmsStatus => dice.pick(&SMS),
        _ => dice.pick(&SOFT),
    }
}

/// Waiting time in slots of the wheel, from and to.
type Slots = (u64, u64);

const SOON: Slots = (1, 8);
const LATER: Slots = (8, 60);
const READ: Slots = (5, 260);

/// The life of a message: the event after `emitted`, if there is one.
fn next_event(
    dice: &mut Dice,
    message: &mut Message,
    emitted: EventType,
    storm: bool,
) -> Option<(EventType, Slots)> {
    use EventType as T;
    let quality = message.subaccount.quality;
    match emitted {
        T::Injection if storm && dice.chance(900) => {
            message.refusal = dice.pick(&BLOCK);
            Some((T::Bounce, SOON))
        }
        T::Injection => Some(first_attempt(dice, message)),
        T::Delay => {
            message.retries = message.retries.saturating_add(1);
            Some(match dice.below(100) {
                0..70 => (T::Delivery, LATER),
                70..85 => (T::Delay, LATER),
                _ => (T::Bounce, LATER),
            })
        }
        T::Delivery if dice.chance(3) => {
            message.refusal = dice.pick(&LATE);
            Some((T::OutOfBand, LATER))
        }
        T::Delivery if dice.chance(quality.complaint) => Some((T::SpamComplaint, READ)),
        T::Delivery if dice.chance(quality.open) => Some(if dice.chance(30) {
            (T::AmpInitialOpen, READ)
        } else {
            (T::InitialOpen, READ)
        }),
        T::InitialOpen if dice.chance(650) => Some((T::Open, SOON)),
        T::AmpInitialOpen if dice.chance(650) => Some((T::AmpOpen, SOON)),
        T::InitialOpen | T::Open if dice.chance(quality.click) => Some((T::Click, LATER)),
        T::AmpOpen if dice.chance(quality.click) => Some((T::AmpClick, LATER)),
        T::Open if dice.chance(quality.unsubscribe) => Some((T::ListUnsubscribe, LATER)),
        T::Click if dice.chance(quality.unsubscribe) => Some((T::LinkUnsubscribe, SOON)),
        _ => None,
    }
}

fn first_attempt(dice: &mut Dice, message: &mut Message) -> (EventType, Slots) {
    let quality = message.subaccount.quality;
    let roll = dice.below(1000) as u32;
    if roll < quality.hard {
        message.refusal = dice.pick(&HARD);
        (EventType::Bounce, SOON)
    } else if roll < quality.hard + quality.block {
        message.refusal = dice.pick(&BLOCK);
        (EventType::Bounce, SOON)
    } else if roll < quality.hard + quality.block + quality.delay {
        message.refusal = dice.pick(&SOFT);
        (EventType::Delay, SOON)
    } else {
        (EventType::Delivery, SOON)
    }
}

#[cfg(test)]
mod tests;
