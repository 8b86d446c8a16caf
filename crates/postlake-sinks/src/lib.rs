//! Sinks: readers of the lake's log.
