//! Decisions of the simulated programs. They see values only: never the world, the event list or chance.

pub mod api_server;
pub mod client_limit;
pub mod cpu_shares;
pub mod crash_loop;
pub mod deployment;
pub mod ebs_csi;
pub mod ec2;
pub mod eviction;
pub mod go_sort;
pub mod host_port;
pub mod hpa;
pub mod int_or_percent;
pub mod ipamd;
pub mod job;
pub mod karpenter;
pub mod kube_scheduler;
pub mod memory_pressure;
pub mod node_affinity;
pub mod pod_affinity;
pub mod probe;
pub mod replica_set;
pub mod taints;
pub mod vpc_resource_controller;
