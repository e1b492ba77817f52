use serde_json::{Value, json};

use super::{BAD_INPUT, types};
use crate::catalogue::Catalogue;

/// Show how many pods kubelet allows on a node, and why
///
/// ENIs x (addresses per ENI - 1) + 2, on the default network card: each ENI's own address serves no pod,
/// and the 2 are aws-node and kube-proxy on the host's address.
///
/// Example: kilopod max-pods m5.large c5.4xlarge
#[derive(clap::Args)]
pub struct Arguments {
    /// Instance types
    #[arg(required = true, value_name = "TYPE")]
    types: Vec<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let catalogue = Catalogue::compiled_in();
    let (mut lines, mut values, mut problems) = (Vec::new(), Vec::<Value>::new(), Vec::new());
    for name in &arguments.types {
        match types::named(&catalogue, name).and_then(|found| Ok((found, types::interface_limits(found)?))) {
            Ok((found, (enis, addresses))) => {
                let pods = found.eni_limited_max_pods().expect("both limits are known");
                values.push(json!({
                    "instance_type": name, "max_enis": enis, "ipv4_per_eni": addresses, "max_pods": pods,
                }));
                lines.push(format!("{name}: {enis} ENIs x ({addresses} addresses - 1) + 2 = {pods}"));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        problems.iter().for_each(|problem| say!("error: {problem}"));
        return BAD_INPUT;
    }
    if arguments.json {
        return super::print_json(&values.into());
    }
    super::print(&(lines.join("\n") + "\n"))
}
