//! A guest's manager: what answers for its run state, dumps it and lets it go.

pub mod qmp;
