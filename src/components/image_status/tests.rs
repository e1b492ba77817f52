use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::catalogue::Catalogue;
use crate::input::{Document, Problems};
use crate::scenario;

/// Nodes that were there, and Deployments with such images that come after an hour.
fn prepared(head: &str, image_sizes: &[u32], nodes: u32) -> Prepared {
    let mut text = format!("{head}\nhorizon = \"2 h\"\ndaemonsets = []\n");
    for megabytes in image_sizes {
        text += &format!(
            "[[deployments]]\nname = \"app-{megabytes}\"\nschedule = [{{ at = \"1 h\", replicas = 1 }}]\n\
             cpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"{megabytes} MB\"\n"
        );
    }
    text += &format!("[[static_nodes]]\ninstance_type = \"m5.large\"\ncount = {nodes}\n");
    read(&text)
}
fn read(text: &str) -> Prepared {
    let document = Document::parse("case.toml", text, &mut Problems::default());
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario)
}

fn begun(prepared: &Prepared) -> Run<'_> {
    Run::begun(prepared, Chance::new(3, 0), Wishes::default())
}
/// An attempt after so many seconds.
fn attempt(run: &mut Run<'_>, secs: u64) {
    run.now = SimTime::from_secs(secs);
    run.snapshot_images();
}
fn holders(run: &Run<'_>, image: u32) -> Vec<u32> {
    run.nodes.iter().map(|node| node.image_status.holders(image)).collect()
}

/// What is on a node at 100 s is listed within 30 s, and told within 10.4 s of that; 15 and 5.1 s on average.
#[test]
fn images_are_told_by_the_second_of_two_loops() {
    let prepared = prepared("", &[300], 900);
    let mut run = begun(&prepared);
    let stored = SimTime::from_secs(100);
    let waits: Vec<f64> = (0..900).map(|node| run.told_at(node, stored).since(stored).secs_f64()).collect();
    let mean = waits.iter().sum::<f64>() / 900.0;
    assert!(waits.iter().all(|wait| (0.0..40.4).contains(wait)), "{waits:?}");
    // The standard error is 0.31 s.
    assert!((mean - 20.1).abs() < 1.0, "{mean}");
    // A kubelet that began at 50 s lists at 110 s; its loop goes on from the Node's registration.
    run.nodes[0].joined_at = Some(SimTime::from_secs(50));
    run.now = SimTime::from_secs(52);
    run.start_status_loop(0);
    let told = run.told_at(0, stored).secs_f64();
    assert!((112.0..114.4).contains(&told), "{told}");
    assert_eq!(run.told_at(0, SimTime::from_secs(110)).secs_f64(), told);
    assert!(run.told_at(0, SimTime::from_secs(111)).secs_f64() >= 142.0);
}

/// A node's count is of the attempt that first saw its last change, whatever others have told since.
#[test]
fn what_a_node_is_known_for_is_as_old_as_its_last_change() {
    let prepared = prepared("", &[300], 3);
    let mut run = begun(&prepared);
    run.image_comes(0, 0, SimTime::from_secs(1));
    attempt(&mut run, 60);
    assert_eq!(holders(&run, 0), [1, 0, 0]);
    run.image_comes(1, 0, run.now);
    attempt(&mut run, 120);
    assert_eq!(holders(&run, 0), [1, 2, 0]);
    run.hear_of_node(0);
    assert_eq!(holders(&run, 0), [1, 2, 0]);
    attempt(&mut run, 121);
    assert_eq!(holders(&run, 0), [2, 2, 0]);
    // A node that goes is missing from the counts of nodes that change, and a report is a change: one comes within 7.5 min.
    run.hear_of_node(1);
    run.nodes[1].stage = state::NodeStage::Gone;
    run.refit(1);
    attempt(&mut run, 122);
    assert_eq!(holders(&run, 0), [2, 0, 0]);
    attempt(&mut run, 122 + 450);
    assert_eq!(holders(&run, 0), [1, 0, 0]);
}

/// Up to 1.24 what happens to its pods is no change, and the count is that of the Node's last update.
#[test]
fn pods_once_changed_nothing() {
    let prepared = prepared("profile = \"2022-11\"", &[300], 2);
    let mut run = begun(&prepared);
    run.image_comes(0, 0, SimTime::from_secs(1));
    run.image_comes(1, 0, SimTime::from_secs(60));
    attempt(&mut run, 120);
    assert_eq!(holders(&run, 0), [1, 2]);
    run.hear_of_node(0);
    attempt(&mut run, 121);
    assert_eq!(holders(&run, 0), [1, 2]);
    attempt(&mut run, 121 + 450);
    assert_eq!(holders(&run, 0), [2, 2]);
}

/// Those are left out that are the smallest.
#[test]
fn fifty_images_are_told_and_no_more() {
    let sizes: Vec<u32> = (0..60).map(|image| if image == 3 { 1 } else { 100 + image }).collect();
    let prepared = prepared("", &sizes, 1);
    let mut run = begun(&prepared);
    (0..51).for_each(|image| run.image_comes(0, image, SimTime::from_secs(1)));
    attempt(&mut run, 60);
    let told = |run: &Run<'_>| (0..60).filter(|image| holders(run, *image) == [1]).collect::<Vec<u32>>();
    assert_eq!(told(&run), (0..51).filter(|image| *image != 3).collect::<Vec<u32>>());
    run.image_comes(0, 59, run.now);
    attempt(&mut run, 120);
    assert_eq!(told(&run), (1..51).filter(|image| *image != 3).chain([59]).collect::<Vec<u32>>());
}

/// A template without an image of its own goes on with that of the one before; init containers count from 1.30 on.
#[test]
fn pods_look_for_the_images_of_all_their_containers() {
    let numbers = |head: &str| {
        let prepared = read(&format!(
            "{head}\ndaemonsets = []\n[kubelet]\n[[deployments]]\nreplicas = 1\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"300 MB\"\n\
             init_containers = [{{ image = \"50 MB\" }}]\n\
             rollouts = [{{ at = \"1 min\", image = \"0 MB\" }}, {{ at = \"2 min\", image = \"9 MB\" }}, {{ at = \"3 min\", image = \"0 MB\" }}]\n\
             [[static_nodes]]\ninstance_type = \"m5.large\"\n"
        ));
        (0..4).map(|set| prepared.images.of_pods(set).numbers().collect()).collect::<Vec<Vec<u32>>>()
    };
    assert_eq!(numbers(""), [[0, 1], [2, 1], [4, 5], [6, 5]]);
    assert_eq!(numbers("profile = \"2022-11\""), [[1], [1], [5], [5]]);
}
