//! The sender's bounce classes in words.
//!
//! Source: SparkPost's bounce classification table (support documents, "bounce classification codes").

/// A bounce class: code, name and what kind of failure it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BounceClass {
    pub(crate) code: i64,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
}

const fn class(code: i64, name: &'static str, category: &'static str) -> BounceClass {
    BounceClass {
        code,
        name,
        category,
    }
}

/// Every documented class.
pub(crate) const BOUNCE_CLASSES: &[BounceClass] = &[
    class(1, "Undetermined", "undetermined"),
    class(10, "Invalid Recipient", "hard"),
    class(20, "Soft Bounce", "soft"),
    class(21, "DNS Failure", "soft"),
    class(22, "Mailbox Full", "soft"),
    class(23, "Too Large", "soft"),
    class(24, "Timeout", "soft"),
    class(25, "Admin Failure", "admin"),
    class(30, "Generic Bounce: No RCPT", "hard"),
    class(40, "Generic Bounce", "soft"),
    class(50, "Mail Block", "block"),
    class(51, "Spam Block", "block"),
    class(52, "Spam Content", "block"),
    class(53, "Prohibited Attachment", "block"),
    class(54, "Relaying Denied", "block"),
    class(60, "Auto-Reply", "soft"),
    class(70, "Transient Failure", "soft"),
    class(80, "Subscribe", "admin"),
    class(90, "Unsubscribe", "hard"),
    class(100, "Challenge-Response", "soft"),
];

/// SQL text of a relation `(bounce_class, class_name, category)`, to be joined to `events`.
pub(crate) fn classes_relation() -> String {
    let rows: Vec<String> = BOUNCE_CLASSES
        .iter()
        .map(|class| format!("({}, '{}', '{}')", class.code, class.name, class.category))
        .collect();
    format!(
        "(values {}) as classes(bounce_class, class_name, category)",
        rows.join(", ")
    )
}
