//! From sidecars' reports to what the engine folds: cells are summed, closed and joined into slices; labels are summed
//! by the time of their prediction and sealed; breakers' openings make bad cells. Everything here is right whatever
//! the order and the delay of reports; that each report is taken once is its caller's duty (by sequence number).

pub mod activity;
pub mod breakers;
pub mod cells;
pub mod clusters;
pub mod contents;
pub mod counts;
pub mod history;
pub mod keys;
pub mod labels;
pub mod progress;
pub mod report;
pub mod sources;
