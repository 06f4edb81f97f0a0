//! Latencies, kept one by one: percentiles are exact, and a million of them is 8 MB.

use std::time::Duration;

use crate::json::Line;

#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds count, mean and percentiles in microseconds, named `{prefix}p50_us` and so on.
    pub(crate) fn describe(mut self, line: Line, prefix: &str) -> Line {
        self.0.sort_unstable();
        let mut line = line
            .integer(&format!("{prefix}samples"), self.0.len() as u64)
            .number(&format!("{prefix}mean_us"), self.mean());
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            line = line.number(&format!("{prefix}{name}_us"), self.percentile(share));
        }
        line.number(&format!("{prefix}max_us"), self.percentile(1.0))
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "microseconds, printed with six digits"
    )]
    fn mean(&self) -> f64 {
        let sum: u128 = self.0.iter().map(|&nanos| u128::from(nanos)).sum();
        sum as f64 / self.0.len() as f64 / 1e3
    }

    /// Sorts, then as [`Self::percentile`].
    pub(crate) fn sorted_percentile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        self.percentile(share)
    }

    /// The smallest sample that at least `share` of all samples do not exceed.
    /// The samples must be sorted.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among samples that fit in memory"
    )]
    fn percentile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |&nanos| nanos as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Samples;
    use crate::json::Line;

    #[test]
    fn describe_gives_exact_percentiles_in_microseconds() {
        let mut samples = Samples::default();
        for micros in (1..=1000).rev() {
            samples.add(Duration::from_micros(micros));
        }

        assert_eq!(
            "{\"samples\":1000,\"mean_us\":500.500000,\"p50_us\":500.000000,\
             \"p90_us\":900.000000,\"p99_us\":990.000000,\"p999_us\":999.000000,\
             \"max_us\":1000.000000}",
            samples.describe(Line::default(), "").to_string()
        );
    }

    #[test]
    fn describe_without_samples_gives_null() {
        let line = Samples::default().describe(Line::default(), "").to_string();

        assert!(line.contains("\"p50_us\":null"), "{line}");
    }
}
