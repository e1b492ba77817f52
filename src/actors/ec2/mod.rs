//! EC2 as its clients feel it: request limits.

mod sdk;
mod token_bucket;

pub use sdk::Retries;
pub use token_bucket::TokenBucket;
