//! A page of metric families: each with its help, its type, and a value for each set of labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::admin::status::Histogram;

/// Names of labels with their values. Names are fixed, values come from closed sets and from the
/// configuration, never from what is received.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes families one after the other. A family without labels has one value.
pub(super) struct Families<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(vec![], value)])
    }

    /// Counters of a part of the program: name, help, value.
    pub(super) fn counters_of<'c>(
        &mut self,
        part: &str,
        counters: impl IntoIterator<Item = (&'c str, &'c str, u64)>,
    ) -> fmt::Result {
        for (name, help, value) in counters {
            self.counter(&format!("postlake_{part}_{name}"), help, value)?;
        }
        Ok(())
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, [(vec![], value)])
    }

    pub(super) fn flag(&mut self, name: &str, help: &str, value: bool) -> fmt::Result {
        self.gauge(name, help, f64::from(u8::from(value)))
    }

    /// `_total` is put behind the name.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            if labels.is_empty() {
                return ConstCounter::new(value).encode(family);
            }
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// As [`Families::counters`], of a number with a fraction.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(family)
    }

    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                return ConstGauge::new(value).encode(family);
            }
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in values {
            let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(histogram.counts.iter().copied()).collect();
            let (sum, count) = (histogram.sum, histogram.count());
            if labels.is_empty() {
                return family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None);
            }
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
