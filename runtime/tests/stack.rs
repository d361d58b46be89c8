//! Stacks of frames: what they hold, how they grow and shrink, and that cycles see it all.

#[path = "stack/basics.rs"]
mod basics;
#[path = "stack/cycles.rs"]
mod cycles;
#[path = "stack/programs.rs"]
mod programs;
#[path = "stack/values.rs"]
mod values;
