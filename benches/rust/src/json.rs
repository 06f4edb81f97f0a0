//! One line of JSON, written field by field.

use std::fmt::{self, Write as _};

/// A flat JSON object; fields keep the order in which they are added.
#[derive(Debug, Default)]
pub(crate) struct Line(String);

impl Line {
    /// Adds a text field. `value` must hold nothing that JSON would escape but
    /// quotes and backslashes, which are.
    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        self.raw(name, format_args!("\"{value}\""))
    }

    pub(crate) fn integer(self, name: &str, value: u64) -> Self {
        self.raw(name, format_args!("{value}"))
    }

    /// Adds a number with enough digits for a ratio; not finite becomes `null`.
    pub(crate) fn number(self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.raw(name, format_args!("{value:.6}"))
        } else {
            self.raw(name, format_args!("null"))
        }
    }

    /// Adds a number that this system may not be able to tell.
    pub(crate) fn maybe(self, name: &str, value: Option<f64>) -> Self {
        self.number(name, value.unwrap_or(f64::NAN))
    }

    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.raw(name, format_args!("{value}"))
    }

    fn raw(mut self, name: &str, value: fmt::Arguments<'_>) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn line_with_each_kind_of_field_is_json() {
        let line = Line::default()
            .text("a", "say \"no\"")
            .integer("b", 7)
            .number("c", 0.5)
            .maybe("d", None)
            .flag("e", true);

        assert_eq!(
            r#"{"a":"say \"no\"","b":7,"c":0.500000,"d":null,"e":true}"#,
            line.to_string()
        );
    }
}
