//! The summary's questions, as SQL.

use crate::bounce::classes_relation;
use crate::scores::subject_words;

pub(super) const TOTALS: &str = "select count(*) as batches, \
        coalesce(sum(bytes), 0) as bytes, coalesce(sum(items), 0) as items, \
        coalesce(sum(events), 0) as events, coalesce(sum(alerts), 0) as alerts, \
        coalesce(sum(duplicates), 0) as duplicates, coalesce(sum(rejects), 0) as rejects \
     from batches";

pub(super) const ROWS: &str = "select \
        (select count(*) from events) as events, \
        (select count(*) from alerts) as alerts, \
        (select count(*) from quarantine) as quarantine, \
        (select count(*) from quarantine where code = 'segment') as damaged_segments";

pub(super) const NEWEST: &str = "select max(received_at) as received_at, max(loaded_at) as loaded_at, \
        (select max(cast(loaded_at as bigint) - cast(received_at as bigint)) / 1000 from batches \
         where loaded_at = (select max(loaded_at) from batches)) as load_lag_ms \
     from batches";

pub(super) const EVENT_TYPES: &str = "select event_class, \"type\", count(*) as events \
     from events group by event_class, \"type\" \
     order by events desc, event_class, \"type\"";

pub(super) const QUARANTINE: &str = "select code, \"source\", count(*) as items, \
        min(received_at) as first_received_at, max(received_at) as last_received_at, \
        last_value(message order by received_at, \"stream\", segment, batch_index, item_index) as last_message \
     from quarantine group by code, \"source\" \
     order by items desc, code, \"source\"";

pub(super) const ARRIVALS: &str = "select date_trunc('minute', received_at) as minute, \
        count(*) as batches, sum(items) as items \
     from batches \
     where received_at > (select max(received_at) from batches) - interval '1 hour' \
     group by date_trunc('minute', received_at) order by minute";

/// What counts as a bounce: refused in the session, or accepted first and failed later.
const BOUNCED: &str = "\"type\" in ('bounce', 'out_of_band')";

pub(super) fn bounce_classes() -> String {
    format!(
        "select bounced.bounce_class, coalesce(class_name, {UNKNOWN_CLASS}) as class_name, \
             coalesce(category, 'undetermined') as category, bounces \
         from (select bounce_class, count(*) as bounces from events where {BOUNCED} group by bounce_class) as bounced \
         left join {} on classes.bounce_class = bounced.bounce_class \
         order by bounces desc, bounced.bounce_class",
        classes_relation()
    )
}

const UNKNOWN_CLASS: &str =
    "case when bounced.bounce_class is null then 'no class given' else 'unknown class' end";

pub(super) fn bounce_reasons() -> String {
    format!(
        "select bounced.reason, bounced.bounce_class, coalesce(class_name, {UNKNOWN_CLASS}) as class_name, \
             coalesce(category, 'undetermined') as category, bounces, subaccounts \
         from (select coalesce(reason, raw_reason) as reason, bounce_class, count(*) as bounces, \
                   count(distinct subaccount_id) as subaccounts \
               from events where {BOUNCED} \
               group by coalesce(reason, raw_reason), bounce_class \
               order by bounces desc, reason, bounce_class limit 20) as bounced \
         left join {} on classes.bounce_class = bounced.bounce_class \
         order by bounces desc, bounced.reason, bounced.bounce_class",
        classes_relation()
    )
}

pub(super) fn subaccounts() -> String {
    format!(
        "select subaccount_id, \
                case when subaccount_id is null then 'unreadable subaccount' else {} end as subject, \
             events, injections, deliveries, in_band + out_of_band as bounces, complaints, \
             case when deliveries + in_band > 0 \
                  then round(cast(deliveries as double) / (deliveries + in_band), 4) end as delivered_rate, \
             case when deliveries + in_band > 0 \
                  then round(least(1.0, cast(in_band + out_of_band as double) / (deliveries + in_band)), 4) end as bounced_rate \
         from (select subaccount_id, count(*) as events, \
                   count(*) filter (where \"type\" = 'injection') as injections, \
                   count(*) filter (where \"type\" = 'delivery') as deliveries, \
                   count(*) filter (where \"type\" = 'bounce') as in_band, \
                   count(*) filter (where \"type\" = 'out_of_band') as out_of_band, \
                   count(*) filter (where \"type\" = 'spam_complaint') as complaints \
               from events group by subaccount_id) as counted \
         order by bounced_rate desc nulls last, bounces desc, events desc, subaccount_id limit 1000",
        subject_words()
    )
}
