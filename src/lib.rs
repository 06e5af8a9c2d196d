//! healer: self-healing for a single host.

pub mod config;
pub mod fix;
pub mod host;
pub mod learn;
pub mod logs;
pub mod model;
pub mod observe;
