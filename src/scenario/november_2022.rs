//! What Karpenter 0.19 could not be told: refused with the profile of November 2022.
//!
//! Of a pool's `disruption` it knew `WhenEmpty` after a time, `ttlSecondsAfterEmpty`, and `WhenEmptyOrUnderutilized` at once,
//! `consolidation.enabled`; of its claims `expire_after`, `ttlSecondsUntilExpired`. Source: aws/karpenter-core cf29e8b,
//! `pkg/apis/provisioning/v1alpha5`.

use super::checked::{ConsolidationPolicy, DoNotDisrupt, Profile, Scenario};
use crate::input::{Node, Problems, Section};

/// All problems are told where they are written.
pub(super) fn check(scenario: &Scenario, root: &Node, problems: &mut Problems) {
    if scenario.profile != Profile::Nov2022 {
        return;
    }
    // What is no table was told as the scenario was read.
    let mut known = Problems::default();
    let mut root = Section::new(root, "", &mut known);
    let pools = root.sections("node_pools", &mut known).unwrap_or_default();
    for (mut section, pool) in pools.into_iter().zip(&scenario.node_pools) {
        refuse(&mut section, "termination_grace_period", "a drain had no end of its own", problems);
        refuse(&mut section, "drift_at", "it knew no drift", problems);
        let Some(mut section) = section.section("disruption", &mut known) else { continue };
        refuse(&mut section, "budgets", "it knew no budgets of nodes", problems);
        let Some(spec) = &pool.disruption else { continue };
        let at_once = spec.consolidate_after.is_none_or(|after| after.is_zero());
        match spec.policy {
            ConsolidationPolicy::Balanced => {
                refuse(&mut section, "consolidation_policy", "it consolidated or it did not", problems);
            }
            ConsolidationPolicy::WhenEmptyOrUnderutilized if !at_once => {
                refuse(&mut section, "consolidate_after", "only empty nodes waited for a time", problems);
            }
            _ => {}
        }
    }
    if scenario.karpenter.spot_to_spot_consolidation
        && let Some(mut section) = root.section("karpenter", &mut known)
    {
        refuse(&mut section, "spot_to_spot_consolidation", "it replaced no spot node by spot", problems);
    }
    let deployments = root.sections("deployments", &mut known).unwrap_or_default();
    let jobs = root.sections("jobs", &mut known).unwrap_or_default();
    let specs = scenario.deployments.iter().zip(deployments).chain(scenario.jobs.iter().zip(jobs));
    for (spec, mut section) in specs {
        if matches!(spec.do_not_disrupt, Some(DoNotDisrupt::For(_))) {
            refuse(&mut section, "do_not_disrupt", "do-not-evict was for always", problems);
        }
    }
}

fn refuse(section: &mut Section<'_>, name: &'static str, why: &str, problems: &mut Problems) {
    if section.get(name).is_none() {
        return;
    }
    let what = format!("Karpenter 0.19 has no such setting: {why}");
    let hint = format!("leave {name} out, or write profile = \"current\"");
    problems.add(section.origin_of(name), &section.key(name), what, Some(hint));
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::catalogue::Catalogue;
    use crate::input::{Document, Problems};
    use std::path::Path;
    use std::sync::Arc;

    /// The keys that are refused.
    fn refused(profile: &str, rest: &str) -> Vec<String> {
        let mut problems = Problems::default();
        let text = format!("profile = \"{profile}\"\n{rest}");
        let document = Document::parse("a.toml", &text, &mut problems);
        match read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in())) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.key).collect(),
        }
    }

    #[test]
    fn what_karpenter_0_19_could_not_be_told_is_refused_one_and_all() {
        let all = "[karpenter]\nspot_to_spot_consolidation = true\n\
                   [[deployments]]\nreplicas = 9\ndo_not_disrupt = \"10 min\"\n\
                   [[node_pools]]\ndrift_at = \"10 min\"\ntermination_grace_period = \"1 h\"\n\
                   disruption = { consolidate_after = \"30 s\", budgets = [{ nodes = 1 }] }\n\
                   [[node_pools]]\nname = \"b\"\ndisruption = { consolidation_policy = \"Balanced\" }\n";
        let keys = [
            "karpenter.spot_to_spot_consolidation",
            "deployments[0].do_not_disrupt",
            "node_pools[0].drift_at",
            "node_pools[0].termination_grace_period",
            "node_pools[0].disruption.consolidate_after",
            "node_pools[0].disruption.budgets",
            "node_pools[1].disruption.consolidation_policy",
        ];
        assert_eq!(refused("2022-11", all), keys);
        assert_eq!(refused("current", all), [""; 0]);
    }

    #[test]
    fn what_it_could_be_told_is_not() {
        for disruption in [
            "{}",
            "{ consolidate_after = \"Never\" }",
            "{ consolidation_policy = \"WhenEmpty\", consolidate_after = \"30 s\" }",
        ] {
            let pool = format!(
                "[[deployments]]\nreplicas = 9\ndo_not_disrupt = true\n[[node_pools]]\nexpire_after = \"1 h\"\ndisruption = {disruption}\n"
            );
            assert_eq!(refused("2022-11", &pool), [""; 0]);
        }
    }
}
