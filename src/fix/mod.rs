//! The steps of a fix.
pub mod act;
pub mod alive;
pub mod compose;
pub mod edit;
mod postgres;
pub mod present;
mod redis;
mod resize;
pub mod restart;
mod run;
