//! The steps of a fix.
pub mod alive;
pub mod edit;
pub mod restart;
