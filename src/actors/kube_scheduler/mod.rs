//! kube-scheduler: in which order pods are tried, which nodes they fit, and how these are scored.

pub mod alike;
pub mod cycle;
pub mod filter;
pub mod groups;
pub mod image;
pub mod pod_affinity;
pub mod preemption;
pub mod queue;
pub mod score;
pub mod spread;
pub mod view;

/// `numFeasibleNodesToFind` with the adaptive percentage.
pub fn nodes_to_find(nodes: u32) -> u32 {
    if nodes < 100 {
        return nodes.max(1);
    }
    let percent = 50u32.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(100)
}

#[cfg(test)]
mod tests {
    /// NF-1, NF-2 and NF-5 of TestNumFeasibleNodesToFind (10, 1000 and 6000 nodes), and others by the formula.
    #[test]
    fn the_number_of_nodes_to_find_is_the_published_one() {
        let found = [10, 50, 100, 150, 200, 500, 1_000, 6_000].map(super::nodes_to_find);
        assert_eq!(found, [10, 50, 100, 100, 100, 230, 420, 300]);
    }
}
