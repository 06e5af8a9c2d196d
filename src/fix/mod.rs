//! The steps of a fix.
pub mod edit;
pub mod restart;
