//! How the values of fields are put together, where it takes more than a line.

use crate::batch::EventId;
use crate::catalog::EventType;
use crate::dice::{scramble, uuid_of};
use crate::json::Json;
use crate::message::Facts;

pub(super) fn event_id(facts: &Facts<'_>, json: &mut Json) {
    match facts.id {
        EventId::Number(number) => json.long_id(number),
        EventId::Uuid(uuid) => quoted(json, |json| json.uuid(uuid)),
        EventId::Content(_) => json.text(""),
    }
}

pub(super) fn message_id(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("00");
        json.hex(u128::from(facts.message.serial), 18);
    });
}

pub(super) fn friendly_from(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw(if facts.message.campaign.transactional {
            "service@"
        } else {
            "news@"
        });
        json.raw(facts.message.subaccount.domain);
    });
}

pub(super) fn msg_from(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("msprvs1=");
        json.hex(u128::from(facts.message.bits), 10);
        json.raw("=bounces-4711@bounce.");
        json.raw(facts.message.subaccount.domain);
    });
}

pub(super) fn rcpt_to(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| recipient(facts, json));
}

/// The recipient in lower case, without quotes.
fn recipient(facts: &Facts<'_>, json: &mut Json) {
    let message = facts.message;
    json.lower(message.first_name);
    json.raw(".");
    json.lower(message.last_name);
    json.number(message.part(44, 10));
    json.raw("@");
    json.raw(message.provider.domain);
}

/// The recipient in the case in which the sender gave it.
pub(super) fn raw_rcpt_to(facts: &Facts<'_>, json: &mut Json) {
    let message = facts.message;
    if message.part(54, 2) != 0 {
        return rcpt_to(facts, json);
    }
    quoted(json, |json| {
        json.raw(message.first_name);
        json.raw(".");
        json.raw(message.last_name);
        json.number(message.part(44, 10));
        json.raw("@");
        json.raw(message.provider.domain);
    });
}

/// 40 hexadecimal digits, as SHA-1 has; the same for the same recipient.
pub(super) fn rcpt_hash(facts: &Facts<'_>, json: &mut Json) {
    let message = facts.message;
    let names = message
        .first_name
        .bytes()
        .chain(message.last_name.bytes())
        .chain(message.provider.domain.bytes());
    let seed = names.fold(message.part(44, 10), |hash, byte| {
        scramble(hash ^ u64::from(byte))
    });
    quoted(json, |json| {
        json.hex(u128::from(scramble(seed)), 16);
        json.hex(u128::from(scramble(seed ^ 1)), 16);
        json.hex(u128::from(scramble(seed ^ 2)), 8);
    });
}

pub(super) fn rcpt_type(facts: &Facts<'_>, json: &mut Json) {
    json.text(match facts.message.part(56, 2) {
        0 => "archive",
        1 => "bcc",
        _ => "cc",
    });
}

/// What a sender attaches to a recipient: any JSON, nested, of all types.
pub(super) fn rcpt_meta(facts: &Facts<'_>, json: &mut Json) {
    let message = facts.message;
    if !facts.full && message.part(50, 4) == 0 {
        return json.raw("{}");
    }
    json.raw("{\"customer\":{\"id\":\"C-");
    json.padded(message.part(20, 20), 7);
    json.raw("\",\"since\":");
    json.number(2009 + message.part(40, 4));
    json.raw(",\"vip\":");
    json.raw(if message.part(41, 3) == 0 {
        "true"
    } else {
        "false"
    });
    json.raw(",\"note\":null},");
    if message.campaign.transactional {
        json.raw("\"order\":{\"number\":\"");
        json.number(900_000 + message.part(8, 18));
        json.raw("\",\"total\":");
        json.number(9 + message.part(30, 7));
        json.raw(".95,\"currency\":\"EUR\",\"lines\":[{\"sku\":\"TL-");
        json.number(100 + message.part(31, 8));
        json.raw("\",\"quantity\":");
        json.number(1 + message.part(33, 2));
        json.raw("},{\"sku\":\"BX-7\",\"quantity\":1}]}}");
    } else {
        json.raw("\"segment\":\"");
        json.raw(message.campaign.template_id);
        json.raw(
            "\",\"preferences\":{\"language\":\"en\",\"topics\":[\"new\",\"sale\"],\"per_week\":",
        );
        json.number(1 + message.part(34, 2));
        json.raw("}}");
    }
}

pub(super) fn rcpt_tags(facts: &Facts<'_>, json: &mut Json) {
    let tags = facts.message.campaign.tags;
    json.texts(if facts.full && tags.is_empty() {
        &["account"]
    } else {
        tags
    });
}

pub(super) fn rcpt_subs(facts: &Facts<'_>, json: &mut Json) {
    json.raw("{\"first_name\":");
    json.text(facts.message.first_name);
    json.raw(",\"country\":");
    json.text(facts.message.place.country);
    json.raw(",\"offers\":[{\"code\":\"SAVE10\",\"percent\":10}]}");
}

pub(super) fn sending_ip(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| sending_address(facts, json));
}

fn sending_address(facts: &Facts<'_>, json: &mut Json) {
    json.raw("192.0.2.");
    json.number(facts.sending_octet());
}

/// The delivery host; for what a reader did, the reader's address.
pub(super) fn ip_address(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        if facts.is_engagement() {
            json.raw("203.0.113.");
            json.number(facts.reader_octet());
        } else {
            json.raw("198.51.100.");
            json.number(facts.host_octet());
        }
    });
}

/// The host that handed the message to SparkPost.
pub(super) fn remote_addr(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("203.0.113.");
        json.number(facts.reader_octet());
    });
}

pub(super) fn recv_method(facts: &Facts<'_>, json: &mut Json) {
    json.text(match facts.what {
        EventType::SmsStatus => "smpp",
        _ if facts.message.campaign.transactional => "rest",
        _ => "esmtp",
    });
}

pub(super) fn delv_method(facts: &Facts<'_>, json: &mut Json) {
    json.text(match facts.what {
        EventType::SmsStatus => "smpp",
        _ => "esmtp",
    });
}

pub(super) fn device_token(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        for salt in 0..4 {
            json.hex(u128::from(scramble(facts.message.bits ^ salt)), 16);
        }
    });
}

pub(super) fn amp_enabled(facts: &Facts<'_>, json: &mut Json) {
    use EventType::{AmpClick, AmpInitialOpen, AmpOpen};
    let amp = matches!(facts.what, AmpOpen | AmpInitialOpen | AmpClick);
    json.boolean(amp || facts.message.part(58, 3) == 0);
}

/// SparkPost's canonical form: what differs from message to message is left out.
pub(super) fn reason(facts: &Facts<'_>, json: &mut Json) {
    filled(facts, json, |_, place, json| {
        json.raw(match place {
            "ip" => "a.b.c.d",
            "rcpt" => "user@domain",
            _ => "host",
        });
    });
}

/// The server's words as they came.
pub(super) fn raw_reason(facts: &Facts<'_>, json: &mut Json) {
    filled(facts, json, |facts, place, json| match place {
        "ip" => sending_address(facts, json),
        "rcpt" => recipient(facts, json),
        _ => json.raw(facts.message.provider.host),
    });
}

/// Writes the refusal's text as a string; `fill` writes what stands for each `{place}`.
fn filled(facts: &Facts<'_>, json: &mut Json, fill: impl Fn(&Facts<'_>, &str, &mut Json)) {
    quoted(json, |json| {
        let mut rest = facts.message.refusal.text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else {
                break;
            };
            json.escaped(before);
            fill(facts, place, json);
            rest = after;
        }
        json.escaped(rest);
    });
}

pub(super) fn report_to(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("abuse.");
        json.raw(facts.message.subaccount.domain);
    });
}

pub(super) fn target_link_url(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("https://www.");
        json.raw(facts.message.subaccount.domain);
        json.raw(match facts.what {
            EventType::LinkUnsubscribe => "/unsubscribe?utm_source=email",
            _ => facts.message.campaign.link_path,
        });
        json.raw("&r=");
        json.hex(u128::from(facts.message.bits), 12);
    });
}

pub(super) fn target_link_name(facts: &Facts<'_>, json: &mut Json) {
    json.text(match facts.what {
        EventType::LinkUnsubscribe => "Unsubscribe",
        _ => facts.message.campaign.link_name,
    });
}

pub(super) fn user_agent_parsed(facts: &Facts<'_>, json: &mut Json) {
    let client = facts.message.client;
    json.raw("{\"agent_family\":");
    json.text(client.agent_family);
    json.raw(",\"device_brand\":");
    json.text(client.device_brand);
    json.raw(",\"device_family\":");
    json.text(client.device_family);
    json.raw(",\"os_family\":");
    json.text(client.os_family);
    json.raw(",\"os_version\":");
    json.text(client.os_version);
    json.raw(",\"is_mobile\":");
    json.boolean(client.mobile);
    json.raw(",\"is_proxy\":");
    json.boolean(client.proxy);
    json.raw(",\"is_prefetched\":");
    json.boolean(client.prefetched);
    json.raw("}");
}

pub(super) fn geo_ip(facts: &Facts<'_>, json: &mut Json) {
    let place = facts.message.place;
    json.raw("{\"country\":");
    json.text(place.country);
    json.raw(",\"region\":");
    json.text(place.region);
    json.raw(",\"city\":");
    json.text(place.city);
    json.raw(",\"latitude\":");
    json.degrees(place.latitude);
    json.raw(",\"longitude\":");
    json.degrees(place.longitude);
    json.raw(",\"zip\":");
    json.number(u64::from(place.zip));
    json.raw(",\"postal_code\":");
    json.text(place.postal_code);
    json.raw("}");
}

pub(super) fn relay_id(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        for (shift, width) in [(0, 10), (10, 10), (20, 10)] {
            json.padded(facts.message.part(shift, width), 4);
            json.raw(if shift < 20 { "-" } else { "" });
        }
    });
}

/// A number of the range kept for fiction in the North American plan (555-0100 to 555-0199).
pub(super) fn sms_dst(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("1202555");
        json.padded(100 + facts.message.part(0, 6), 4);
    });
}

/// Unique for each event of a generator: an `sms_status` has no `event_id` to tell it by.
pub(super) fn sms_remoteids(facts: &Facts<'_>, json: &mut Json) {
    json.raw("[\"");
    json.hex(u128::from(facts.message.serial), 18);
    json.raw("-0\",\"");
    json.hex(u128::from(facts.message.serial), 18);
    json.raw("-1\"]");
}

pub(super) fn dr_latency(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.number(facts.message.part(8, 3));
        json.raw(".");
        json.padded(facts.message.part(11, 6), 2);
    });
}

pub(super) fn ab_test(facts: &Facts<'_>, json: &mut Json, completed: bool) {
    let campaign = facts.message.campaign;
    json.raw("{\"id\":");
    json.text(campaign.ab_test_id.unwrap_or("subject-line"));
    json.raw(",\"name\":\"Test of ");
    json.raw(campaign.id);
    json.raw("\",\"version\":2,\"test_mode\":\"bayesian\",\"engagement_metric\":\"count_unique_clicked\",\"default_template\":");
    variant(campaign.template_id, "", facts.message.part(0, 10), json);
    json.raw(",\"variants\":[");
    variant(campaign.template_id, "-b", facts.message.part(10, 10), json);
    json.raw(",");
    variant(campaign.template_id, "-c", facts.message.part(20, 10), json);
    json.raw("]");
    if completed {
        json.raw(",\"winning_template_id\":\"");
        json.raw(campaign.template_id);
        json.raw("-b\"");
    }
    json.raw("}");
}

/// One variant of a test: 4096 accepted, so many clicked.
fn variant(template_id: &str, suffix: &str, clicked: u64, json: &mut Json) {
    json.raw("{\"template_id\":\"");
    json.raw(template_id);
    json.raw(suffix);
    json.raw("\",\"count_unique_clicked\":");
    json.number(clicked);
    json.raw(",\"count_accepted\":4096,\"engagement_rate\":0.");
    json.padded(clicked * 10_000 / 4096, 4);
    json.raw("}");
}

pub(super) fn ingest_batch_id(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.uuid(uuid_from(facts.message.bits));
    });
}

pub(super) fn ingest_href(facts: &Facts<'_>, json: &mut Json) {
    quoted(json, |json| {
        json.raw("https://api.example.com/api/v1/ingest/events/failures/");
        json.uuid(uuid_from(!facts.message.bits));
    });
}

fn uuid_from(bits: u64) -> u128 {
    uuid_of((u128::from(bits) << 64) | u128::from(scramble(bits)))
}

fn quoted(json: &mut Json, inside: impl FnOnce(&mut Json)) {
    json.quote();
    inside(json);
    json.quote();
}
