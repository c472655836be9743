//! Numbers as the contract has them: times are Unix seconds with fraction, `null` where unknown; what people read is rounded.

const GIB: f64 = (1_u64 << 30) as f64;

/// Unix milliseconds as Unix seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit into 53 bits until the year 287396")]
pub fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Unix milliseconds as Unix seconds; 0 is `null`.
pub fn moment(millis: u64) -> Option<f64> {
    (millis > 0).then(|| seconds(millis))
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a round trip")]
pub(crate) fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// A part of a whole in percent, one decimal.
#[expect(clippy::cast_precision_loss, reason = "counts of builds")]
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 1000.0 / whole as f64).round() / 10.0 }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory and disks, for people")]
pub(crate) fn gib(bytes: u64) -> f64 {
    (bytes as f64 / GIB * 10.0).round() / 10.0
}

/// Numbers of a drone are numbers: what is not finite is 0.
pub(crate) fn number(value: f64) -> f64 {
    if value.is_finite() { (value * 100.0).round() / 100.0 } else { 0.0 }
}
