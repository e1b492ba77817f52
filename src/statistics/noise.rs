//! How much of a response's variance over points is chance, where each point is the mean of replications and all
//! points meet the same replications.

/// Variance of a point's mean, and its share of the variance of all points' means.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NoiseShare {
    /// Of a point by itself: its replications vary by so much.
    pub own: f64,
    /// What is left of it between points once what a replication adds to all points is taken out; differences between
    /// points know no more than this.
    pub paired: f64,
}

/// From the replications of each point. `None` below two points or two replications, and where no mean differs.
///
/// # Panics
/// If points differ in their number of replications.
pub fn noise_share(points: &[Vec<f64>]) -> Option<NoiseShare> {
    let replications = points.first()?.len();
    if points.len() < 2 || replications < 2 {
        return None;
    }
    let (p, r) = (points.len() as f64, replications as f64);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let of_points: Vec<f64> = points.iter().map(|values| mean(values)).collect();
    let all = mean(&of_points);
    let mut of_replications = vec![0.0; replications];
    for values in points {
        assert_eq!(values.len(), replications, "every point has the same replications");
        of_replications.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / p);
    }
    let (mut own, mut paired) = (0.0, 0.0);
    for (values, of_point) in points.iter().zip(&of_points) {
        for (value, of_replication) in values.iter().zip(&of_replications) {
            let apart = value - of_point;
            own += apart * apart;
            let left = apart - (of_replication - all);
            paired += left * left;
        }
    }
    let of_means =
        of_points.iter().map(|of_point| (of_point - all) * (of_point - all)).sum::<f64>() / (p - 1.0);
    let share = |squares: f64, freedom: f64| squares / freedom / r / of_means;
    (of_means > 0.0)
        .then(|| NoiseShare { own: share(own, p * (r - 1.0)), paired: share(paired, (p - 1.0) * (r - 1.0)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, normal_quantile};

    #[test]
    fn what_all_points_share_is_noise_of_each_and_not_between_them() {
        let points = [vec![1.0, 3.0], vec![11.0, 13.0]];
        // Variance of either mean: 2 / 2 = 1; of the means: 50.
        assert_eq!(noise_share(&points), Some(NoiseShare { own: 0.02, paired: 0.0 }));
        assert_eq!(noise_share(&points[..1]), None);
        assert_eq!(noise_share(&[vec![1.0, 2.0], vec![2.0, 1.0]]), None);
    }

    /// Standard deviations: 3 between points, 2 common to a replication, 1 of its own; 20 replications. The variance of
    /// means is then 9 + 1 / 20, of which the own noise is 5 / 20 and the paired 1 / 20. With 400 points shares
    /// have relative standard errors of sqrt(2 / 400) = 7 % and, for the common part, sqrt(2 / 19) = 32 %.
    #[test]
    fn shares_are_those_that_made_the_data() {
        let chance = Chance::new(4, 0);
        let normal = |entity, draw| normal_quantile(chance.uniform(Component::Screening, entity, draw));
        let value = |point, replication: u32| {
            3.0 * normal(point, 0) + 2.0 * normal(1_000_000, replication) + normal(point, 1 + replication)
        };
        let points: Vec<Vec<f64>> =
            (0..400).map(|point| (0..20).map(|replication| value(point, replication)).collect()).collect();
        let share = noise_share(&points).unwrap();
        let of_means = 9.05;
        assert!((share.paired * of_means / 0.05 - 1.0).abs() < 0.3, "{share:?}");
        assert!((share.own * of_means - 0.25).abs() < 0.25, "{share:?}");
        assert!(share.own > share.paired);
    }
}
