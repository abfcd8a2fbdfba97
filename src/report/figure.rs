//! A drawing of the page that is also a file of its own, for papers.

use super::svg::{Ink, escape};

/// A drawing, in the page's colours and in fixed ones.
pub(super) struct Figure {
    /// What tells it from others: its file is `figure-NAME.svg`.
    pub name: String,
    /// The file's content.
    pub file: String,
    page: String,
    caption: String,
    more: String,
}

impl Figure {
    /// Draws it twice.
    pub fn of(name: impl Into<String>, draw: impl Fn(Ink) -> String, caption: impl Into<String>) -> Self {
        let (page, file) = (draw(Ink::Page), draw(Ink::Fixed));
        Figure { name: name.into(), file, page, caption: caption.into(), more: String::new() }
    }

    /// The figure with HTML behind its caption.
    pub fn with(self, more: String) -> Self {
        Figure { more, ..self }
    }

    /// The figure as the page has it.
    pub fn html(&self) -> String {
        let Figure { page, caption, more, .. } = self;
        format!("<figure>\n{page}<figcaption>{}</figcaption>\n{more}</figure>\n", escape(caption))
    }
}
