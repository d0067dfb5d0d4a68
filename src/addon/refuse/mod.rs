//! What must not be begun because of what is there already: told before anything is changed.

mod classes;

pub use classes::classes;
