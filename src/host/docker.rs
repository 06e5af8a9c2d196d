//! The Docker Engine behind a synchronous face (bollard on one current-thread runtime).
