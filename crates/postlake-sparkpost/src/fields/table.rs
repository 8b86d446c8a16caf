//! The table of fields. One row: name, JSON type, types, when live events have it, how it is written.

use super::JsonKind::{Boolean, Decimal, Digits, Instant, Integer, Object, Text, Texts};
use super::Presence::{AbTest, Always, Copy, NotMail, Scheduled, Subaccount, Transactional};
use super::{Field, JsonKind, Presence, TypeSet, values};
use crate::catalog::EventClass;
use crate::catalog::EventType::{
    self, AbTestCancelled, AmpClick, Bounce, Click, Delay, Delivery, GenerationRejection,
    IngestError, Injection, LinkUnsubscribe, OutOfBand, PolicyRejection, RelayDelivery,
    RelayInjection, RelayPermfail, RelayRejection, RelayTempfail, SmsStatus, SpamComplaint,
};
use crate::json::Json;
use crate::message::Facts;

const ALL: TypeSet = TypeSet::of(&EventType::ALL);
/// Events of outbound mail but text messages: the ones that name a template and a recipient.
const MESSAGE: TypeSet = TypeSet::class(EventClass::Message).without(&[SmsStatus]);
const TRACK: TypeSet = TypeSet::class(EventClass::Track);
const GEN: TypeSet = TypeSet::class(EventClass::Gen);
const UNSUBSCRIBE: TypeSet = TypeSet::class(EventClass::Unsubscribe);
const RELAY: TypeSet = TypeSet::class(EventClass::Relay);
const AB_TEST: TypeSet = TypeSet::class(EventClass::AbTest);
const INGEST: TypeSet = TypeSet::class(EventClass::Ingest);
const READER: TypeSet = TRACK.and(UNSUBSCRIBE);
const MAIL: TypeSet = MESSAGE.and(READER).and(GEN);
const SENT: TypeSet = MESSAGE.and(READER).without(&[PolicyRejection]);
const IDENTIFIED: TypeSet = MESSAGE.and(READER).and(RELAY);
const RELAY_TRIED: TypeSet = TypeSet::of(&[RelayDelivery, RelayTempfail, RelayPermfail]);
const TRIED: TypeSet = READER
    .and(RELAY_TRIED)
    .with(&[Delivery, Delay, OutOfBand, SpamComplaint]);
const DELIVERY_HOST: TypeSet =
    READER.with(&[Bounce, Delivery, Delay, OutOfBand, SpamComplaint, SmsStatus]);
const TRACKED: TypeSet = READER.with(&[Bounce, Delivery, Injection, Delay]);
const REFUSED: TypeSet = GEN.with(&[
    Bounce,
    OutOfBand,
    PolicyRejection,
    Delay,
    RelayRejection,
    RelayTempfail,
    RelayPermfail,
]);
const CLASSED: TypeSet = TypeSet::of(&[
    Bounce,
    OutOfBand,
    PolicyRejection,
    Delay,
    GenerationRejection,
    RelayRejection,
]);
const TESTED: TypeSet = READER.and(GEN).with(&[
    Delivery,
    Injection,
    OutOfBand,
    PolicyRejection,
    SpamComplaint,
]);
const TEXT_MESSAGE: TypeSet = TypeSet::of(&[Injection, Delivery, Bounce, Delay]);
const LINK: TypeSet = TypeSet::of(&[Click, AmpClick, LinkUnsubscribe]);
const POOLED: TypeSet = MAIL
    .and(RELAY)
    .with(&[SmsStatus])
    .without(&[RelayRejection]);

const fn row(
    name: &'static str,
    kind: JsonKind,
    on: TypeSet,
    presence: Presence,
    write: fn(&Facts<'_>, &mut Json),
) -> Field {
    Field {
        name,
        kind,
        on,
        presence,
        write,
    }
}

#[rustfmt::skip]
pub(super) static FIELDS: [Field; 81] = [
    row("type", Text, ALL, Always, |f, j| j.text(f.what.name())),
    row("event_id", Text, ALL.without(&[SmsStatus]), Always, values::event_id),
    row("timestamp", Digits, ALL, Always, |f, j| j.unix_secs(f.at_ms)),
    row("customer_id", Digits, ALL, Always, |_, j| j.digits(4_711)),
    row("subaccount_id", Digits, ALL, Subaccount, |f, j| j.digits(u64::from(f.message.subaccount.id))),

    row("message_id", Text, IDENTIFIED, Always, values::message_id),
    row("transmission_id", Digits, MAIL, Always, |f, j| j.long_id(f.message.transmission_id)),
    row("campaign_id", Text, MAIL, Always, |f, j| j.text(f.message.campaign.id)),
    row("template_id", Text, MAIL, Always, |f, j| j.text(f.message.campaign.template_id)),
    row("template_version", Digits, MAIL, Always, |f, j| j.digits(u64::from(f.message.campaign.template_version))),
    row("transactional", Text, MAIL, Transactional, |_, j| j.text("1")),
    row("ab_test_id", Text, TESTED, AbTest, |f, j| j.text(f.message.campaign.ab_test_id.unwrap_or("subject-line"))),
    row("ab_test_version", Digits, TESTED, AbTest, |f, j| j.digits(1 + f.message.part(20, 1))),
    row("subject", Text, SENT.with(&[GenerationRejection]), Always, |f, j| j.text(f.message.campaign.subject)),

    row("friendly_from", Text, MAIL, Always, values::friendly_from),
    row("msg_from", Text, IDENTIFIED, Always, values::msg_from),
    row("rcpt_to", Text, MAIL.and(RELAY), Always, values::rcpt_to),
    row("raw_rcpt_to", Text, MAIL.and(RELAY), Always, values::raw_rcpt_to),
    row("rcpt_hash", Text, MAIL.and(RELAY), NotMail, values::rcpt_hash),
    row("rcpt_type", Text, MESSAGE.and(READER).without(&[OutOfBand]), Copy, values::rcpt_type),
    row("recipient_domain", Text, MAIL, Always, |f, j| j.text(f.message.provider.domain)),
    row("routing_domain", Text, SENT.and(GEN).and(RELAY).with(&[SmsStatus]).without(&[RelayRejection]), Always, |f, j| j.text(f.message.provider.domain)),
    row("mailbox_provider", Text, MAIL, Always, |f, j| j.text(f.message.provider.name)),
    row("mailbox_provider_region", Text, MAIL, Always, |f, j| j.text(f.message.provider.region)),
    row("rcpt_meta", Object, MAIL, Always, values::rcpt_meta),
    row("rcpt_tags", Texts, MAIL, Always, values::rcpt_tags),
    row("rcpt_subs", Object, GEN, Always, values::rcpt_subs),

    row("injection_time", Instant, IDENTIFIED, Always, |f, j| j.instant(f.message.injected_ms)),
    row("scheduled_time", Digits, SENT.and(GEN), Scheduled, |f, j| j.unix_secs(f.message.injected_ms - 60_000)),
    row("msg_size", Digits, SENT.with(&[RelayInjection]), Always, |f, j| j.digits(u64::from(f.message.size_bytes))),
    row("ip_pool", Text, POOLED, Always, |f, j| j.text(f.message.subaccount.ip_pool)),
    row("sending_ip", Text, POOLED, Always, values::sending_ip),
    row("ip_address", Text, DELIVERY_HOST, Always, values::ip_address),
    row("remote_addr", Text, TypeSet::of(&[PolicyRejection, RelayRejection]), Always, values::remote_addr),
    row("recv_method", Text, GEN.and(UNSUBSCRIBE).and(RELAY).with(&[Bounce, Delivery, Injection, Delay, OutOfBand, PolicyRejection, SmsStatus]), Always, values::recv_method),
    row("delv_method", Text, TRACK.and(RELAY_TRIED).with(&[Bounce, Delivery, Delay, OutOfBand, SpamComplaint, SmsStatus, LinkUnsubscribe]), Always, values::delv_method),
    row("outbound_tls", Digits, TypeSet::of(&[Delivery, Delay, RelayPermfail]), Always, |f, j| j.text(if f.message.part(21, 5) == 0 { "-1" } else { "1" })),
    row("num_retries", Digits, TRIED.with(&[Bounce]), Always, |f, j| j.digits(u64::from(f.message.retries))),
    row("queue_time", Digits, TRIED, Always, |f, j| j.digits(f.message.queued_ms)),
    row("device_token", Text, TypeSet::of(&[Bounce, Delivery, OutOfBand, Delay]), NotMail, values::device_token),

    row("amp_enabled", Boolean, TRACKED, Always, values::amp_enabled),
    row("click_tracking", Boolean, TRACKED, Always, |_, j| j.boolean(true)),
    row("open_tracking", Boolean, TRACKED, Always, |_, j| j.boolean(true)),
    row("initial_pixel", Boolean, TRACKED, Always, |f, j| j.boolean(!f.message.campaign.transactional)),

    row("bounce_class", Digits, CLASSED, Always, |f, j| j.digits(u64::from(f.message.refusal.class))),
    row("error_code", Digits, REFUSED, Always, |f, j| j.digits(u64::from(f.message.refusal.code))),
    row("reason", Text, REFUSED.with(&[SmsStatus]), Always, values::reason),
    row("raw_reason", Text, REFUSED.with(&[SmsStatus]), Always, values::raw_reason),

    row("fbtype", Text, TypeSet::of(&[SpamComplaint]), Always, |_, j| j.text("abuse")),
    row("report_by", Text, TypeSet::of(&[SpamComplaint]), Always, |f, j| j.text(f.message.provider.host)),
    row("report_to", Text, TypeSet::of(&[SpamComplaint]), Always, values::report_to),

    row("target_link_url", Text, LINK, Always, values::target_link_url),
    row("target_link_name", Text, LINK, Always, values::target_link_name),
    row("user_agent", Text, TRACK.with(&[LinkUnsubscribe]), Always, |f, j| j.text(f.message.client.user_agent)),
    row("user_agent_parsed", Object, TRACK, Always, values::user_agent_parsed),
    row("geo_ip", Object, TRACK, Always, values::geo_ip),
    row("mailfrom", Text, UNSUBSCRIBE, Always, values::rcpt_to),

    row("relay_id", Text, RELAY, Always, values::relay_id),
    row("origination", Text, RELAY, Always, |_, j| j.text("inbound")),

    row("sms_coding", Text, TEXT_MESSAGE, NotMail, |_, j| j.text("ASCII")),
    row("sms_dst", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, values::sms_dst),
    row("sms_dst_npi", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, |_, j| j.text("E164")),
    row("sms_dst_ton", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, |_, j| j.text("International")),
    row("sms_src", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, |_, j| j.text("55501")),
    row("sms_src_npi", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, |_, j| j.text("E164")),
    row("sms_src_ton", Text, TEXT_MESSAGE.with(&[SmsStatus]), NotMail, |_, j| j.text("Unknown")),
    row("sms_text", Text, TypeSet::of(&[Injection, SmsStatus]), NotMail, |_, j| j.text("Your table is booked for 19:30, reply C to cancel")),
    row("sms_remoteids", Texts, TypeSet::of(&[Delivery, SmsStatus]), NotMail, values::sms_remoteids),
    row("sms_segments", Integer, TypeSet::of(&[Delivery, Injection]), NotMail, |f, j| j.number(1 + f.message.part(26, 2))),
    row("stat_type", Text, TypeSet::of(&[SmsStatus]), Always, |_, j| j.text("SMSC Delivery")),
    row("stat_state", Text, TypeSet::of(&[SmsStatus]), Always, |_, j| j.text("Delivered")),
    row("dr_latency", Decimal, TypeSet::of(&[SmsStatus]), Always, values::dr_latency),

    row("ab_test", Object, AB_TEST, Always, |f, j| values::ab_test(f, j, f.what != AbTestCancelled)),

    row("batch_id", Text, INGEST, Always, values::ingest_batch_id),
    row("expiration_timestamp", Instant, INGEST, Always, |f, j| j.instant(f.at_ms + 86_400_000)),
    row("number_succeeded", Integer, INGEST, Always, |f, j| j.number(300 + f.message.part(28, 8))),
    row("number_duplicates", Integer, INGEST, Always, |f, j| j.number(f.message.part(36, 4))),
    row("number_failed", Integer, TypeSet::of(&[IngestError]), Always, |f, j| j.number(1 + f.message.part(40, 5))),
    row("error_type", Text, TypeSet::of(&[IngestError]), Always, |_, j| j.text("validation")),
    row("retryable", Boolean, TypeSet::of(&[IngestError]), Always, |_, j| j.boolean(false)),
    row("href", Text, TypeSet::of(&[IngestError]), Always, values::ingest_href),
];
