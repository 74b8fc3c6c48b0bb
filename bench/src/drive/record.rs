//! One line of output.

use clap::ValueEnum as _;
use serde::Serialize;

use crate::{contender::Kind, load::Seen};

/// One measure; what it does not have is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Record {
    kind: String,
    measure: &'static str,
    bytes: usize,
    in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    /// Millions of bytes of bodies, one way.
    #[serde(skip_serializing_if = "Option::is_none")]
    mb_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_s_per_100k: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_kib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_before_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Record {
    pub(crate) fn new(measure: &'static str, bytes: usize, in_flight: usize) -> Self {
        Self {
            measure,
            bytes,
            in_flight,
            ..Self::default()
        }
    }

    pub(crate) fn set_kind(&mut self, kind: Kind) {
        let name = kind.to_possible_value();
        self.kind = name.map_or_else(String::new, |name| name.get_name().to_owned());
    }

    pub(crate) fn fill(&mut self, seen: &Seen) {
        if seen.calls() == 0 {
            self.error = Some("no call was made".to_owned());
            return;
        }
        self.p50_us = Some(seen.quantile_us(0.5));
        self.p99_us = Some(seen.quantile_us(0.99));
        self.per_second = Some(seen.per_second());
        self.mb_per_second = Some(seen.per_second() * self.bytes as f64 / 1e6);
        if seen.cpu > 0.0 {
            self.cpu_s_per_100k = Some(seen.cpu_per_100k());
        }
    }
}
