//! The documented fields of email events and the column each one fills.
//!
//! Source of the list: the sender's event samples of 2026, the older samples and captures, and the
//! on-premises edition's fields (see `docs/formats.md` for the origin of each).

use arrow::datatypes::DataType;

use super::timestamp_type;

/// How the JSON value of a field becomes a column value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text as sent; numbers and booleans keep their exact digits.
    Text,
    /// A whole number, sent as number or as text.
    Int,
    /// A number, sent as number or as text.
    Float,
    /// `true`/`false`, `"1"`/`"0"`, `1`/`0`.
    Bool,
    /// Unix seconds or ISO 8601.
    Time,
    /// Any JSON, kept as its exact text.
    Json,
}

impl FieldKind {
    /// The Arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            FieldKind::Text | FieldKind::Json => DataType::Utf8,
            FieldKind::Int => DataType::Int64,
            FieldKind::Float => DataType::Float64,
            FieldKind::Bool => DataType::Boolean,
            FieldKind::Time => timestamp_type(),
        }
    }
}

/// A documented field of an email event and its column.
#[derive(Clone, Copy, Debug)]
pub struct EventField {
    /// The sender's name of the field; empty for a column that a nested object fills.
    pub key: &'static str,
    /// The column's name; the sender's name wherever that is free.
    pub column: &'static str,
    /// How its value is read.
    pub kind: FieldKind,
}

impl EventField {
    /// What flags and `extra` call it: the sender's name, or the column's where it has none.
    pub(crate) fn name(&self) -> &'static str {
        if self.key.is_empty() {
            self.column
        } else {
            self.key
        }
    }
}

const fn field(key: &'static str, kind: FieldKind) -> EventField {
    EventField {
        key,
        column: key,
        kind,
    }
}

const fn nested(column: &'static str, kind: FieldKind) -> EventField {
    EventField {
        key: "",
        column,
        kind,
    }
}

const fn text(key: &'static str) -> EventField {
    field(key, FieldKind::Text)
}

/// Keys of the `geo_ip` object: key, column, kind.
pub const GEO_IP_FIELDS: &[(&str, &str, FieldKind)] = &[
    ("country", "geo_ip_country", FieldKind::Text),
    ("region", "geo_ip_region", FieldKind::Text),
    ("city", "geo_ip_city", FieldKind::Text),
    ("latitude", "geo_ip_latitude", FieldKind::Float),
    ("longitude", "geo_ip_longitude", FieldKind::Float),
    ("zip", "geo_ip_zip", FieldKind::Text),
    ("postal_code", "geo_ip_postal_code", FieldKind::Text),
    ("continent", "geo_ip_continent", FieldKind::Text),
];

/// Keys of the `user_agent_parsed` object: key, column, kind.
pub const USER_AGENT_FIELDS: &[(&str, &str, FieldKind)] = &[
    (
        "agent_family",
        "user_agent_parsed_agent_family",
        FieldKind::Text,
    ),
    (
        "device_brand",
        "user_agent_parsed_device_brand",
        FieldKind::Text,
    ),
    (
        "device_family",
        "user_agent_parsed_device_family",
        FieldKind::Text,
    ),
    ("os_family", "user_agent_parsed_os_family", FieldKind::Text),
    (
        "os_version",
        "user_agent_parsed_os_version",
        FieldKind::Text,
    ),
    ("is_mobile", "user_agent_parsed_is_mobile", FieldKind::Bool),
    ("is_proxy", "user_agent_parsed_is_proxy", FieldKind::Bool),
    (
        "is_prefetched",
        "user_agent_parsed_is_prefetched",
        FieldKind::Bool,
    ),
];

/// Every documented field but the ones that the leading columns hold (`type`, `event_id`,
/// `subaccount_id`); the first 23 lie among the columns that Delta keeps statistics of.
pub const EVENT_FIELDS: &[EventField] = &[
    text("message_id"),
    text("transmission_id"),
    text("campaign_id"),
    text("template_id"),
    text("template_version"),
    text("friendly_from"),
    text("rcpt_to"),
    text("raw_rcpt_to"),
    text("rcpt_hash"),
    text("recipient_domain"),
    text("mailbox_provider"),
    text("mailbox_provider_region"),
    field("bounce_class", FieldKind::Int),
    field("error_code", FieldKind::Int),
    text("reason"),
    text("raw_reason"),
    text("subject"),
    text("sending_ip"),
    text("ip_pool"),
    text("timestamp"),
    text("customer_id"),
    field("injection_time", FieldKind::Time),
    field("scheduled_time", FieldKind::Time),
    text("msg_from"),
    field("msg_size", FieldKind::Int),
    text("rcpt_type"),
    text("routing_domain"),
    text("sending_domain"),
    field("num_retries", FieldKind::Int),
    field("queue_time", FieldKind::Int),
    field("outbound_tls", FieldKind::Int),
    text("recv_method"),
    text("delv_method"),
    text("ip_address"),
    field("amp_enabled", FieldKind::Bool),
    field("click_tracking", FieldKind::Bool),
    field("open_tracking", FieldKind::Bool),
    field("initial_pixel", FieldKind::Bool),
    field("transactional", FieldKind::Bool),
    text("remote_addr"),
    text("device_token"),
    text("fbtype"),
    text("report_by"),
    text("report_to"),
    text("user_str"),
    text("ab_test_id"),
    text("ab_test_version"),
    text("target_link_url"),
    text("target_link_name"),
    text("user_agent"),
    nested("geo_ip_country", FieldKind::Text),
    nested("geo_ip_region", FieldKind::Text),
    nested("geo_ip_city", FieldKind::Text),
    nested("geo_ip_latitude", FieldKind::Float),
    nested("geo_ip_longitude", FieldKind::Float),
    nested("geo_ip_zip", FieldKind::Text),
    nested("geo_ip_postal_code", FieldKind::Text),
    nested("geo_ip_continent", FieldKind::Text),
    nested("user_agent_parsed_agent_family", FieldKind::Text),
    nested("user_agent_parsed_device_brand", FieldKind::Text),
    nested("user_agent_parsed_device_family", FieldKind::Text),
    nested("user_agent_parsed_os_family", FieldKind::Text),
    nested("user_agent_parsed_os_version", FieldKind::Text),
    nested("user_agent_parsed_is_mobile", FieldKind::Bool),
    nested("user_agent_parsed_is_proxy", FieldKind::Bool),
    nested("user_agent_parsed_is_prefetched", FieldKind::Bool),
    text("accept_language"),
    text("mailfrom"),
    field("rcpt_meta", FieldKind::Json),
    field("rcpt_tags", FieldKind::Json),
    field("rcpt_subs", FieldKind::Json),
    text("relay_id"),
    text("origination"),
    text("sms_coding"),
    text("sms_dst"),
    text("sms_dst_npi"),
    text("sms_dst_ton"),
    text("sms_src"),
    text("sms_src_npi"),
    text("sms_src_ton"),
    text("sms_text"),
    field("sms_remoteids", FieldKind::Json),
    field("sms_segments", FieldKind::Int),
    text("stat_type"),
    text("stat_state"),
    field("dr_latency", FieldKind::Float),
    field("ab_test", FieldKind::Json),
    // The ingest event's own batch, not the webhook's.
    EventField {
        key: "batch_id",
        column: "ingest_batch_id",
        kind: FieldKind::Text,
    },
    text("error_type"),
    text("href"),
    field("number_succeeded", FieldKind::Int),
    field("number_duplicates", FieldKind::Int),
    field("number_failed", FieldKind::Int),
    field("retryable", FieldKind::Bool),
    field("expiration_timestamp", FieldKind::Time),
    text("binding"),
    text("binding_group"),
    text("pathway"),
    text("pathway_group"),
    text("node_name"),
    text("msg_spoolname"),
    text("msg_batchname"),
    text("conn_name"),
    text("conn_stage"),
];
