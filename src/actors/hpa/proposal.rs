//! What a metric asks for, before stabilising and limits.

use super::to_i32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodState {
    Ready,
    /// Unready, or started too recently.
    Ignored,
    /// Without a metric.
    Missing,
}

/// A pod's cpu, in millicores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodMetric {
    pub usage_millis: Option<i64>,
    pub request_millis: i64,
    pub state: PodState,
}

/// What the autoscaler looks at.
#[derive(Clone, PartialEq, Debug)]
pub enum Metric {
    /// A value over its target, for `ready` pods together.
    Ratio { ratio: f64, ready: i32 },
    /// CPU utilisation against a target (percent).
    Utilisation { target_percent: i32, pods: Vec<PodMetric> },
    /// The count itself.
    Replicas(i32),
}

/// `None`: no usable metric.
pub fn proposal(metric: &Metric, current: i32, tolerance: f64) -> Option<i32> {
    match metric {
        Metric::Replicas(replicas) => Some(*replicas),
        Metric::Ratio { ratio, .. } if current == 0 => Some(to_i32(libm::ceil(*ratio))),
        Metric::Ratio { ratio, .. } if within(*ratio, tolerance) => Some(current),
        Metric::Ratio { ratio, ready } => Some(to_i32(libm::ceil(ratio * f64::from(*ready)))),
        Metric::Utilisation { target_percent, pods } => {
            utilisation(*target_percent, pods, current, tolerance)
        }
    }
}

fn within(ratio: f64, tolerance: f64) -> bool {
    1.0 - tolerance <= ratio && ratio <= 1.0 + tolerance
}

fn utilisation(target: i32, pods: &[PodMetric], current: i32, tolerance: f64) -> Option<i32> {
    let known = |pod: &PodMetric| pod.state == PodState::Ready && pod.usage_millis.is_some();
    let missing = |pod: &PodMetric| {
        pod.state == PodState::Missing || (pod.state == PodState::Ready && pod.usage_millis.is_none())
    };
    let mut usages: Vec<(i64, i64)> = pods
        .iter()
        .filter(|pod| known(pod))
        .map(|pod| (pod.usage_millis.unwrap_or(0), pod.request_millis))
        .collect();
    let ready = usages.len();
    let first = ratio(&usages, target)?;
    let add_ignored = first > 1.0 && pods.iter().any(|pod| pod.state == PodState::Ignored);
    if !add_ignored && !pods.iter().any(missing) {
        return Some(if within(first, tolerance) {
            current
        } else {
            to_i32(libm::ceil(first * ready as f64))
        });
    }
    // Caution: what is not known counts as fully used on the way down and as idle on the way up.
    for pod in pods {
        if missing(pod) && first < 1.0 {
            let assumed = pod.request_millis.wrapping_mul(i64::from(target.max(100))) / 100;
            usages.push((assumed, pod.request_millis));
        } else if (missing(pod) && first > 1.0) || (pod.state == PodState::Ignored && add_ignored) {
            usages.push((0, pod.request_millis));
        }
    }
    let second = ratio(&usages, target)?;
    let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if within(second, tolerance) || turned {
        return Some(current);
    }
    let replicas = to_i32(libm::ceil(second * usages.len() as f64));
    let against = (second < 1.0 && replicas > current) || (second > 1.0 && replicas < current);
    Some(if against { current } else { replicas })
}

/// Utilisation over target; the utilisation is cut to whole percents first. `None` without usages or requests.
fn ratio(usages: &[(i64, i64)], target: i32) -> Option<f64> {
    let sum = |(a, b): (i64, i64), (used, requested): &(i64, i64)| {
        (a.wrapping_add(*used), b.wrapping_add(*requested))
    };
    let (used, requested) = usages.iter().fold((0, 0), sum);
    if requested == 0 {
        return None;
    }
    let percent = used.wrapping_mul(100).wrapping_div(requested) as i32;
    Some(f64::from(percent) / f64::from(target))
}
