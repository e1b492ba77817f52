//! EC2 as its clients feel it: request limits.

mod sdk;
mod token_bucket;

pub use sdk::retry_after;
pub use token_bucket::TokenBucket;
