//! What `help()` says: the text of the twin, put here by `build.rs`.

/// Expands to the docstring that a name has in `pure.py`.
macro_rules! twin {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

pub(crate) use twin;
