//! A drawing of the page that is also a file of its own, for papers.

use super::svg::{Sheet, escape};

/// The name of the chart that a page begins with.
pub(super) const CHART: &str = "accuracy";

/// A drawing for the page, on wide and on narrow screens, and for a file.
pub(super) struct Figure {
    /// The name that tells it from others of the page.
    name: String,
    /// The file's content.
    pub file: String,
    page: String,
    phone: String,
    caption: String,
    more: String,
}

impl Figure {
    /// Draws it for each sheet.
    pub fn of(name: impl Into<String>, draw: impl Fn(Sheet) -> String, caption: impl Into<String>) -> Self {
        let [page, phone, file] = [Sheet::Page, Sheet::Phone, Sheet::File].map(draw);
        Figure { name: name.into(), file, page, phone, caption: caption.into(), more: String::new() }
    }

    /// The figure with HTML behind its caption.
    pub fn with(self, more: String) -> Self {
        Figure { more, ..self }
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        if self.name == CHART { format!("{CHART}.svg") } else { format!("figure-{}.svg", self.name) }
    }

    /// The figure as the page has it.
    pub fn html(&self) -> String {
        let Figure { page, phone, caption, more, .. } = self;
        format!(
            "<figure>\n<div class=\"wide\">\n{page}</div>\n<div class=\"narrow\">\n{phone}</div>\n\
             <figcaption>{}</figcaption>\n{more}</figure>\n",
            escape(caption)
        )
    }
}
