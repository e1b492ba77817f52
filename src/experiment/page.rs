//! What pages of HTML have in common: their style, and how a template becomes one.

/// Light, dark and printed.
const STYLE: &str = include_str!("page.css");

/// The template with every `{{name}}` filled in by `part`; `{{style}}` is the pages' own.
///
/// # Panics
/// If the template opens a name that it does not close.
pub(super) fn filled(template: &str, part: &dyn Fn(&str) -> String) -> String {
    let mut page = String::with_capacity(template.len() + STYLE.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes what it opens");
        page.push_str(before);
        match name {
            "style" => page.push_str(STYLE),
            name => page.push_str(&part(name)),
        }
        rest = after;
    }
    page + rest
}

/// Text as it may stand in an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_what_fills_them_is_not_read_again() {
        let page = filled("<style>{{style}}</style><p>{{a}} and {{b}}", &|name| format!("{{{{{name}}}}}"));
        assert_eq!(page, format!("<style>{STYLE}</style><p>{{{{a}}}} and {{{{b}}}}"));
        assert_eq!(escape("a < \"b\" & c > d"), "a &lt; &quot;b&quot; &amp; c &gt; d");
    }
}
