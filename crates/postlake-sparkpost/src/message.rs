//! One message and one event of it: everything that a field's value is made from.

use crate::batch::EventId;
use crate::catalog::EventType;
use crate::dice::Dice;
use crate::population::{
    CAMPAIGNS, CLIENTS, Campaign, Client, FIRST_NAMES, LAST_NAMES, PLACES, PROVIDERS, Place,
    Provider, Refusal, SOFT, SUBACCOUNTS, Subaccount,
};

/// A message with the recipient it goes to. Small and `Copy`: thousands are in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    /// Unique within one generator.
    pub(crate) serial: u64,
    pub(crate) transmission_id: u64,
    pub(crate) injected_ms: i64,
    pub(crate) queued_ms: u64,
    pub(crate) subaccount: &'static Subaccount,
    pub(crate) campaign: &'static Campaign,
    pub(crate) provider: &'static Provider,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) client: &'static Client,
    pub(crate) place: &'static Place,
    /// The refusal this message has met last.
    pub(crate) refusal: &'static Refusal,
    pub(crate) retries: u8,
    pub(crate) size_bytes: u32,
    /// Free random bits: numbers in addresses, values of metadata.
    pub(crate) bits: u64,
}

impl Message {
    /// A new message of a subaccount, injected at `injected_ms`.
    pub(crate) fn new(
        dice: &mut Dice,
        subaccount: &'static Subaccount,
        serial: u64,
        injected_ms: i64,
    ) -> Self {
        let campaign = subaccount_campaign(dice, subaccount);
        let place = dice.pick(&PLACES);
        Self {
            serial,
            transmission_id: transmission_id(subaccount, campaign, serial, injected_ms),
            injected_ms,
            queued_ms: 0,
            subaccount,
            campaign,
            provider: dice.pick_weighted(&PROVIDERS, |provider| provider.weight),
            first_name: *dice.pick(&FIRST_NAMES),
            last_name: *dice.pick(&LAST_NAMES),
            client: dice.pick(&CLIENTS),
            place,
            refusal: dice.pick(&SOFT),
            retries: 0,
            size_bytes: dice.between(2_400, 98_000) as u32,
            bits: dice.bits(),
        }
    }

    /// `width` of the free bits from `shift` on; different fields take different bits.
    pub(crate) fn part(&self, shift: u32, width: u32) -> u64 {
        (self.bits >> shift) & ((1 << width) - 1)
    }
}

/// Each subaccount uses four campaigns of the list.
fn subaccount_campaign(dice: &mut Dice, subaccount: &Subaccount) -> &'static Campaign {
    let first = u64::from(subaccount.id % 10) * 5;
    let chosen = (first + dice.below(4) * 3) % CAMPAIGNS.len() as u64;
    CAMPAIGNS
        .get(chosen as usize)
        .unwrap_or_else(|| dice.pick(&CAMPAIGNS))
}

/// Messages of one campaign that are injected about together share the transmission: 18 digits.
fn transmission_id(
    subaccount: &Subaccount,
    campaign: &Campaign,
    serial: u64,
    injected_ms: i64,
) -> u64 {
    let hour = (injected_ms / 3_600_000).max(0) as u64 % 1_000_000;
    let tens = serial / 1000 % 10_000;
    let campaign = campaign.subject.len() as u64 % 100;
    100_000_000_000_000_000
        + hour * 100_000_000_000
        + tens * 1_000_000
        + u64::from(subaccount.id) * 100
        + campaign
}

/// One event about to be written.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) what: EventType,
    pub(crate) id: EventId,
    pub(crate) message: &'a Message,
    pub(crate) at_ms: i64,
    /// Every documented field is to be written, also those that a live event of this kind lacks.
    pub(crate) full: bool,
}

impl Facts<'_> {
    /// The sending address, one of the pool's: 192.0.2.0/24.
    pub(crate) fn sending_octet(&self) -> u64 {
        u64::from(self.message.subaccount.id % 10) * 8 + self.message.part(0, 2) + 10
    }

    /// The mailbox provider's server: 198.51.100.0/24.
    pub(crate) fn host_octet(&self) -> u64 {
        self.message.provider.name.len() as u64 * 8 + self.message.part(2, 2)
    }

    /// The reader's address: 203.0.113.0/24.
    pub(crate) fn reader_octet(&self) -> u64 {
        self.message.part(4, 8)
    }

    /// Whether the event tells what a reader did.
    pub(crate) fn is_engagement(&self) -> bool {
        use crate::catalog::EventClass::{Track, Unsubscribe};
        matches!(self.what.class(), Track | Unsubscribe)
    }
}

/// A subaccount by its number.
pub(crate) fn subaccount(id: u32) -> Option<&'static Subaccount> {
    SUBACCOUNTS.iter().find(|subaccount| subaccount.id == id)
}
