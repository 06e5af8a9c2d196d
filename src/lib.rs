//! healer: self-healing for a single host.
//!
//! One invocation is one pass, and a pass is one road, entered once and from left to right:
//!
//! `LogLine / Sample -> Finding -> Diagnosis -> Plan -> Outcome -> Record -> Alert`
//!
//! | stage | module | pure |
//! |---|---|---|
//! | what was typed, what was written | `cli`, [`config`] | |
//! | the nouns | [`model`] | yes |
//! | the table of contents | [`pass`] | |
//! | health checks | [`observe`] | |
//! | logs | [`logs`] | |
//! | causes and confidence | [`diagnose`], [`incidents`] | yes |
//! | the exact steps | [`plan`], [`fix::edit`] | yes |
//! | act or hold | [`gate`], [`breaker`], [`pause`] | all but the pauses' file |
//! | backup, journal, apply, watch, undo | [`transaction`], [`backup`], [`validate`] | `phase`, `validate` |
//! | history | [`learn`], [`attempts`], [`follow_up`], [`unaided`], [`matches`], [`state`] | |
//! | what happened, for those who look | [`event_log`], [`past`] | [`past`] |
//! | tests of rules | [`rehearsal`] | yes |
//! | what a configuration will not do | [`review`] | |
//! | a first configuration from what is here | [`init`] | what it writes |
//! | telling | [`tell`], [`alert`], [`show`] | |
//! | the world | [`host`] | |
//!
//! What always holds:
//!
//! - `model` imports nothing of ours; the pure stages do no I/O and read no clock: `now` is a value.
//! - Only the gate makes a [`gate::Permit`], and a transaction accepts nothing else.
//! - A fix is charged, backed up and journaled, each synced, before the first byte of a target changes; and one pure
//!   function ([`transaction::phase::next`]) says what follows, in the live run and after a crash.
//! - A target is wholly old or wholly new, and what somebody else wrote into it meanwhile is never lost.
//! - A check or a log that fails is a finding, never the end of the pass.

pub mod ack;
pub mod alert;
pub mod attempts;
pub mod backup;
pub mod breaker;
pub mod cli;
pub mod commands;
pub mod config;
pub mod diagnose;
pub mod documents;
pub mod event_log;
pub mod fix;
pub mod follow_up;
pub mod gate;
pub mod host;
pub mod hush;
pub mod incidents;
pub mod init;
pub mod learn;
pub mod logs;
pub mod matches;
pub mod model;
pub mod observe;
pub mod pass;
pub mod past;
pub mod pause;
pub mod plan;
pub mod rehearsal;
pub mod review;
pub mod serve;
pub mod show;
pub mod state;
pub mod tell;
pub mod text;
pub mod transaction;
pub mod unaided;
pub mod validate;
