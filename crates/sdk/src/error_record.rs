//! The error convention: `__error__` in `data` (`sdk-behaviour` section 4).

use crate::payload::{PayloadSource, set_member};

/// The reserved key.
pub(crate) const KEY: &str = "__error__";

/// Records an error in `data`. Data that is a list stays as it is.
pub(crate) fn set(data: &mut Option<PayloadSource>, error_type: &str, message: &str) {
    let mut value = Vec::with_capacity(error_type.len() + message.len() + 24);
    value.extend_from_slice(b"{\"type\":");
    endspan_wire::push_string(&mut value, error_type);
    value.extend_from_slice(b",\"message\":");
    endspan_wire::push_string(&mut value, message);
    value.push(b'}');
    set_member(data, KEY, &value);
}

/// Returns the name of an error's type without its path, as Python names exception classes.
pub(crate) fn type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain).trim_start_matches('&')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_short() {
        assert_eq!(type_name::<std::io::Error>(), "Error");
        assert_eq!(type_name::<std::num::ParseIntError>(), "ParseIntError");
        assert_eq!(type_name::<Box<std::fmt::Error>>(), "Box");
        assert_eq!(type_name::<&str>(), "str");
    }
}
