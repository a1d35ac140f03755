//! The same with the allocator that suits serde_json best: the table takes the better of the two.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

include!("main.rs");
