//! EC2 as its clients feel it: request limits.

mod token_bucket;

pub use token_bucket::TokenBucket;
