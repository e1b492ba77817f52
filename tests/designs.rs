//! Designs: which cells an experiment makes, and what is told of designs that make none.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::experiment::{Overrides, Plan, read};
use kilopod::input::{Document, Problem, Problems};

const SCENARIO: &str = r#"
[scenario]
target_pods = 10
[[scenario.deployments]]
name = "app"
replicas = 20
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[scenario.node_pools]]
name = "default"
"#;

/// Three factors of 2, 3 and 3 levels.
const FACTORS: &str = r#"
[[factors]]
name = "capacity"
levels = [
    { label = "spot", set."node_pools.0.capacity_types" = ["spot"] },
    { label = "on-demand", set."node_pools.0.capacity_types" = ["on-demand"] },
]
[[factors]]
name = "warm_ip"
key = "WARM_IP_TARGET"
values = [1, 2, 5]
[[factors]]
name = "subnets"
key = "subnet_prefix_length"
values = [19, 20, 21]
"#;

fn plan(text: &str) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let document = Document::parse("a.toml", text, &mut problems);
    assert!(problems.is_empty(), "{:?}", problems.into_vec());
    let catalogue = Arc::new(Catalogue::compiled_in());
    read(document, &[], &Overrides::default(), "a", Path::new("."), &catalogue)
}

/// The cells' labels, by a design over the three factors.
fn cells(design: &str) -> Vec<String> {
    let plan =
        plan(&format!("{design}{SCENARIO}{FACTORS}")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let ids: Vec<String> = plan.cells.iter().map(|cell| cell.id()).collect();
    let in_order: Vec<String> = (1..=ids.len()).map(|number| format!("c{number:04}")).collect();
    assert_eq!(ids, in_order);
    plan.cells.iter().map(|cell| cell.labels.join(" ")).collect()
}

/// What is told of a design, with its line.
fn told(design: &str) -> Vec<String> {
    let problems =
        plan(&format!("{design}{SCENARIO}{FACTORS}")).expect_err("this design is meant to be refused");
    let line = |problem: &Problem| problem.place.split(':').nth(1).unwrap_or_default().to_string();
    problems.iter().map(|problem| format!("{} {}: {}", line(problem), problem.key, problem.what)).collect()
}

#[test]
fn a_grid_is_every_combination_with_the_last_factor_fastest() {
    let all = cells("");
    assert_eq!(all.len(), 18);
    assert_eq!(all[..4], ["spot 1 19", "spot 1 20", "spot 1 21", "spot 2 19"]);
    assert_eq!(all, cells("[design]\nkind = \"grid\""));
}

#[test]
fn zipped_factors_step_together() {
    let zipped = cells("[design]\nzip = [[\"warm_ip\", \"subnets\"]]");
    let wanted =
        ["spot 1 19", "spot 2 20", "spot 5 21", "on-demand 1 19", "on-demand 2 20", "on-demand 5 21"];
    assert_eq!(zipped, wanted);
    assert_eq!(
        told("[design]\nzip = [[\"capacity\", \"warm_ip\"], [\"subnet\"]]"),
        [
            "2 design.zip[0]: zipped factors need as many levels each: capacity has 2, warm_ip has 3",
            "2 design.zip[1]: a group zips two factors or more",
            "2 design.zip[1]: \"subnet\" is no factor",
        ]
    );
}

#[test]
fn what_is_excluded_is_no_cell() {
    let all = cells("");
    let left = cells("[design]\nexclude = [{ capacity = \"spot\", warm_ip = [1, 2] }, { subnets = 21 }]");
    let gone = |cell: &&String| {
        let named = cell.starts_with("spot 1 ") || cell.starts_with("spot 2 ");
        !named && !cell.ends_with(" 21")
    };
    assert_eq!(left, all.iter().filter(gone).cloned().collect::<Vec<String>>());
    assert_eq!(
        told("[design]\nexclude = [\n{ capacity = \"spto\" },\n{ warm_ip = 3 }, { warm = 1 } ]"),
        [
            "3 design.exclude[0].capacity: \"spto\" is no level of capacity",
            "4 design.exclude[1].warm_ip: \"3\" is no level of warm_ip",
            "4 design.exclude[2].warm: \"warm\" is no factor",
        ]
    );
    let twice = told("[design]\nexclude = [{ warm_ip = 1 }, { warm_ip = 1 }]");
    assert_eq!(twice, ["2 design.exclude[1]: this excludes nothing that is still there"]);
    let everything = told("[design]\nexclude = [{ warm_ip = [1, 2, 5] }]");
    assert_eq!(everything, ["2 design.exclude: this excludes every cell"]);
}

#[test]
fn points_are_the_cells_in_their_order() {
    let listed = "[design]\nkind = \"points\"\n[[design.points]]\ncapacity = \"spot\"\nwarm_ip = 5\nsubnets = 21\n\
                  [[design.points]]\nsubnets = 19\nwarm_ip = 1\ncapacity = \"on-demand\"\n";
    assert_eq!(cells(listed), ["spot 5 21", "on-demand 1 19"]);
    let twice = listed.replace("warm_ip = 1", "warm_ip = 5").replace("subnets = 19", "subnets = 21");
    assert_eq!(told(&twice.replace("on-demand", "spot")), ["7 design.points[1]: this point is there twice"]);
    assert_eq!(
        told("[design]\nkind = \"points\"\npoints = [{ capacity = \"spot\", warm_ip = 4 }]"),
        [
            "3 design.points[0]: this point lacks subnets",
            "3 design.points[0].warm_ip: \"4\" is no level of warm_ip",
        ]
    );
}

#[test]
fn one_factor_at_a_time_moves_around_the_base() {
    let around = cells("[design]\nkind = \"one-at-a-time\"\nbase = { warm_ip = 2, subnets = 21 }");
    let wanted = ["spot 2 21", "on-demand 2 21", "spot 1 21", "spot 5 21", "spot 2 19", "spot 2 20"];
    assert_eq!(around, wanted);
}

/// Sixteen cells over a logarithmic range, whole numbers and two levels.
fn sampled(kind: &str, more: &str) -> String {
    format!(
        "[design]\nkind = \"{kind}\"\ncells = 16\n{more}{SCENARIO}\
         [[factors]]\nname = \"pods\"\nkey = \"deployments.0.replicas\"\n\
         range = {{ from = 10, to = 1000, scale = \"log\", integer = true }}\n\
         [[factors]]\nname = \"end\"\nkey = \"horizon\"\nunit = \"min\"\nrange = {{ from = 5, to = 45 }}\n\
         [[factors]]\nname = \"capacity\"\n\
         levels = [{{ label = \"spot\", set.\"node_pools.0.capacity_types\" = [\"spot\"] }},\n\
         {{ label = \"on-demand\", set.\"node_pools.0.capacity_types\" = [\"on-demand\"] }}]\n"
    )
}

#[test]
fn sampled_points_fill_ranges_and_levels_evenly() {
    for kind in ["latin-hypercube", "sobol"] {
        let plan = plan(&sampled(kind, "")).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!((plan.cells.len(), plan.warnings.len()), (16, 0), "{kind}");
        let number = |text: &str| text.trim_end_matches(" min").parse::<f64>().unwrap();
        let mut pods: Vec<f64> = plan.cells.iter().map(|cell| number(&cell.labels[0])).collect();
        let mut ends: Vec<f64> = plan.cells.iter().map(|cell| number(&cell.labels[1])).collect();
        pods.sort_by(f64::total_cmp);
        ends.sort_by(f64::total_cmp);
        for place in 0..16 {
            let (low, high) = (5.0 + 2.5 * place as f64, 7.5 + 2.5 * place as f64);
            assert!((low..=high).contains(&ends[place]), "{kind}: {ends:?}");
        }
        // Half of a logarithmic range of two decades lies below 100.
        assert!(
            pods[7] <= 100.0 && pods[8] >= 100.0 && pods[0] >= 10.0 && pods[15] <= 1000.0,
            "{kind}: {pods:?}"
        );
        assert_eq!(plan.cells.iter().filter(|cell| cell.labels[2] == "spot").count(), 8, "{kind}");
        for cell in &plan.cells {
            let apart = cell.scenario.horizon.secs_f64() - number(&cell.labels[1]) * 60.0;
            assert!(apart.abs() < 1e-6, "{kind}: {apart} s");
        }
    }
}

#[test]
fn the_seed_of_a_design_is_its_own() {
    let labels = |more: &str| -> Vec<Vec<String>> {
        let plan = plan(&sampled("sobol", more)).unwrap();
        plan.cells.into_iter().map(|cell| cell.labels).collect()
    };
    assert_eq!(labels(""), labels("seed = 1\n"));
    assert_ne!(labels(""), labels("seed = 2\n"));
}

#[test]
fn points_that_are_alike_are_taken_once_and_told() {
    let text = sampled("sobol", "")
        .replace("cells = 16", "cells = 20")
        .replace("from = 5, to = 45", "from = 5, to = 6, integer = true");
    let plan = plan(&text.replace("to = 1000", "to = 12")).unwrap();
    assert_eq!(plan.cells.len(), 12, "3 x 2 x 2 is all there is");
    assert!(
        plan.warnings.iter().any(|warning| warning.contains("of 20 points 12 are unlike")),
        "{:?}",
        plan.warnings
    );
    assert!(plan.warnings.iter().any(|warning| warning.contains("than 16 or 32")), "{:?}", plan.warnings);
}

#[test]
fn a_range_that_is_none_and_a_design_that_cannot_go_through_one_are_told() {
    let ranges = sampled("sobol", "")
        .replace("from = 5, to = 45", "from = 45, to = 5")
        .replace("from = 10,", "from = 0,")
        .replace("cells = 16", "cels = 16");
    let problems = plan(&ranges).unwrap_err();
    let told: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
    for part in ["upwards", "above 0", "how many cells", "no key \"cels\""] {
        assert!(told.iter().any(|what| what.contains(part)), "{part}: {told:?}");
    }
    let problems = plan(&sampled("grid", "").replace("cells = 16\n", "")).unwrap_err();
    assert!(problems.iter().all(|problem| problem.what.contains("cannot go through")), "{problems:?}");
    assert_eq!(problems.len(), 2);
}

/// A file may say the same of a factor in one way only, and values are labels that no spreadsheet changes.
#[test]
fn factors_of_values_are_checked() {
    let factor = |text: &str| -> Vec<String> {
        let problems = plan(&format!("{SCENARIO}[[factors]]\nname = \"a\"\n{text}")).unwrap_err();
        problems.into_iter().map(|problem| problem.what).collect()
    };
    assert_eq!(factor("values = [1, 2]"), ["which key do the values set?"]);
    assert_eq!(factor("key = \"zones\"\nvalues = [[\"us-east-1a\"]]"), ["a list has no label"]);
    assert_eq!(factor("key = \"target_pods\"\nvalues = [5, 5]"), ["5 is there twice"]);
    assert_eq!(
        factor("key = \"target_pods\"\nvalues = 5"),
        ["a list of values is wanted, not a whole number"]
    );
    assert_eq!(
        factor("key = \"name\"\nvalues = [\"1-2\"]"),
        ["a spreadsheet changes \"1-2\": it takes it for a date or a time"]
    );
    assert_eq!(factor("key = \"target_pods\""), ["a has no values"]);
    assert_eq!(factor(""), ["a factor needs levels"]);
}

/// Every block of `docs/experiment.md` is an experiment with as many cells as it says, and warns of nothing.
#[test]
fn the_documented_experiments_are_some() {
    let text = include_str!("../docs/experiment.md");
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 7);
    let scenario = &blocks[0][..blocks[0].find("[[factors]]").unwrap()];
    for (place, block) in blocks.iter().enumerate() {
        let text = if place == 0 { block.to_string() } else { format!("{scenario}{block}") };
        let plan = plan(&text).unwrap_or_else(|problems| panic!("{block}\n{problems:#?}"));
        let stated = block.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        assert_eq!(plan.cells.len(), stated, "{block}");
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
}

/// Values of keys stand in columns, too: a text that a spreadsheet would take for a date is quoted there, as in TOML.
#[test]
fn values_that_a_spreadsheet_would_change_are_quoted() {
    let factor = "[[factors]]\nname = \"programs\"\nlevels = [\n\
                  { label = \"then\", set.profile = \"2022-11\", set.\"cni.env.WARM_ENI_TARGET\" = \"2\" },\n\
                  { label = \"now\", set.profile = \"current\", set.\"cni.env.WARM_ENI_TARGET\" = \"1\" },\n]\n";
    let plan = plan(&format!("{SCENARIO}{factor}")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let values: Vec<&[String]> = plan.cells.iter().map(|cell| cell.values.as_slice()).collect();
    assert_eq!(values, [["\"2022-11\"", "2"], ["current", "1"]]);
}
