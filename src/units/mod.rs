//! Instants, spans and amounts. Integers throughout: they order totally and add without rounding.
//!
//! Two instants do not add; a span is never negative. A distribution's draw is rounded to whole
//! nanoseconds once, on its way in (`SimDuration::from_secs_f64`).

mod extended;
pub mod text;

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

pub use extended::{ExtendedCounts, ExtendedResource};

/// An instant of simulated time: nanoseconds since the scale command (t = 0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimTime(u64);

/// A span of simulated time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimDuration(u64);

impl SimTime {
    pub const ZERO: SimTime = SimTime(0);
    /// Later than every instant a run can reach.
    pub const NEVER: SimTime = SimTime(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Self {
        SimTime(nanos)
    }
    pub const fn from_millis(millis: u64) -> Self {
        SimTime(millis * 1_000_000)
    }
    pub const fn from_secs(secs: u64) -> Self {
        SimTime(secs * 1_000_000_000)
    }
    pub const fn nanos(self) -> u64 {
        self.0
    }
    /// Whole milliseconds, rounded down, as receipt times are.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// The span since `earlier`.
    ///
    /// # Panics
    /// If `earlier` lies after `self`: a run's clock never goes back.
    pub fn since(self, earlier: SimTime) -> SimDuration {
        assert!(earlier <= self, "{earlier} lies after {self}: a span cannot be negative");
        SimDuration(self.0 - earlier.0)
    }
    /// The span since `earlier`, or zero if that lies in the future.
    pub fn saturating_since(self, earlier: SimTime) -> SimDuration {
        SimDuration(self.0.saturating_sub(earlier.0))
    }
    /// The start of the whole second that `self` lies in.
    pub const fn floor_second(self) -> SimTime {
        SimTime(self.0 - self.0 % 1_000_000_000)
    }
}

impl SimDuration {
    pub const ZERO: SimDuration = SimDuration(0);

    pub const fn from_nanos(nanos: u64) -> Self {
        SimDuration(nanos)
    }
    pub const fn from_micros(micros: u64) -> Self {
        SimDuration(micros * 1_000)
    }
    pub const fn from_millis(millis: u64) -> Self {
        SimDuration(millis * 1_000_000)
    }
    pub const fn from_secs(secs: u64) -> Self {
        SimDuration(secs * 1_000_000_000)
    }
    /// Seconds, rounded to the nearest nanosecond; negative and not-a-number become zero, and what
    /// lies beyond 292 years is cut there.
    #[inline]
    pub fn from_secs_f64(secs: f64) -> Self {
        SimDuration::rounded(secs * 1e9)
    }
    #[inline]
    fn rounded(nanos: f64) -> Self {
        // A conversion to a signed number costs half of one to an unsigned one; both saturate.
        SimDuration(((nanos + 0.5) as i64).max(0) as u64)
    }
    pub const fn nanos(self) -> u64 {
        self.0
    }
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    pub const fn saturating_sub(self, other: SimDuration) -> SimDuration {
        SimDuration(self.0.saturating_sub(other.0))
    }
    /// The span times a non-negative factor, rounded to the nearest nanosecond.
    pub fn mul_f64(self, factor: f64) -> SimDuration {
        SimDuration::rounded(self.0 as f64 * factor)
    }
}

impl Add<SimDuration> for SimTime {
    type Output = SimTime;
    /// Saturates at [`SimTime::NEVER`].
    fn add(self, span: SimDuration) -> SimTime {
        SimTime(self.0.saturating_add(span.0))
    }
}
impl AddAssign<SimDuration> for SimTime {
    fn add_assign(&mut self, span: SimDuration) {
        *self = *self + span;
    }
}
impl Add for SimDuration {
    type Output = SimDuration;
    fn add(self, other: SimDuration) -> SimDuration {
        SimDuration(self.0.saturating_add(other.0))
    }
}
impl AddAssign for SimDuration {
    fn add_assign(&mut self, other: SimDuration) {
        *self = *self + other;
    }
}
impl Sub for SimDuration {
    type Output = SimDuration;
    fn sub(self, other: SimDuration) -> SimDuration {
        assert!(other.0 <= self.0, "{self} - {other}: a span cannot be negative");
        SimDuration(self.0 - other.0)
    }
}
impl Mul<u64> for SimDuration {
    type Output = SimDuration;
    fn mul(self, factor: u64) -> SimDuration {
        SimDuration(self.0.saturating_mul(factor))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == SimTime::NEVER { f.write_str("never") } else { SimDuration(self.0).fmt(f) }
    }
}
impl fmt::Debug for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if rest == 0 {
            write!(f, "{whole} s")
        } else {
            let digits = format!("{rest:09}");
            write!(f, "{whole}.{} s", digits.trim_end_matches('0'))
        }
    }
}
impl fmt::Debug for SimDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// CPU (millicores), memory (bytes), pod slots and branch interfaces, of a pod, a node or a sum of them.
///
/// Signed, since what is left of a node that is overcommitted is negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Resources {
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub pods: i64,
    pub extended: ExtendedCounts,
}

impl Resources {
    pub const ZERO: Resources = Resources::new(0, 0, 0);

    pub const fn new(cpu_millis: i64, memory_bytes: i64, pods: i64) -> Self {
        Resources { cpu_millis, memory_bytes, pods, extended: ExtendedCounts::ZERO }
    }
    /// The same with so many branch interfaces, which pods with security groups ask for.
    pub const fn with_pod_enis(self, pod_enis: i64) -> Self {
        Resources { extended: self.extended.with(ExtendedResource::PodEni, pod_enis), ..self }
    }
    pub const fn pod_enis(&self) -> i64 {
        self.extended.get(ExtendedResource::PodEni)
    }
    /// Does `self` fit into `room`, every resource by itself? Equality fits.
    pub fn fits(&self, room: &Resources) -> bool {
        self.cpu_millis <= room.cpu_millis
            && self.memory_bytes <= room.memory_bytes
            && self.pods <= room.pods
            && self.extended.fits(room.extended)
    }
    /// The smaller of each resource.
    pub fn least(self, other: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.min(other.cpu_millis),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            pods: self.pods.min(other.pods),
            extended: self.extended.least(other.extended),
        }
    }
}
impl Add for Resources {
    type Output = Resources;
    fn add(self, o: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis + o.cpu_millis,
            memory_bytes: self.memory_bytes + o.memory_bytes,
            pods: self.pods + o.pods,
            extended: self.extended + o.extended,
        }
    }
}
impl AddAssign for Resources {
    fn add_assign(&mut self, o: Resources) {
        *self = *self + o;
    }
}
impl Sub for Resources {
    type Output = Resources;
    fn sub(self, o: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis - o.cpu_millis,
            memory_bytes: self.memory_bytes - o.memory_bytes,
            pods: self.pods - o.pods,
            extended: self.extended - o.extended,
        }
    }
}

/// One mebibyte (bytes).
pub const MIB: i64 = 1 << 20;

/// Money in millionths of a US dollar; prices per hour are exact in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct MicroUsd(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_seconds_without_padding() {
        assert_eq!(SimDuration::from_millis(1_500).to_string(), "1.5 s");
        assert_eq!(SimTime::from_secs(90).to_string(), "90 s");
    }

    #[test]
    fn draws_round_once_and_never_go_negative() {
        assert_eq!(SimDuration::from_secs_f64(-3.0), SimDuration::ZERO);
        assert_eq!(SimDuration::from_secs_f64(f64::NAN), SimDuration::ZERO);
        assert_eq!(SimDuration::from_secs_f64(1e-9), SimDuration::from_nanos(1));
    }

    #[test]
    #[should_panic(expected = "cannot be negative")]
    fn a_span_into_the_past_is_a_broken_promise() {
        SimTime::from_secs(1).since(SimTime::from_secs(2));
    }
}
