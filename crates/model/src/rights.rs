//! What a caller may do with a record, and how that is told to the caller (CONTRACT 5, 6).
//!
//! Invariant: the rights that are answered are the rights that are applied; both come from `Access`.

use std::fmt;

use crate::{Login, Principal};

/// A caller's access to one record of its own tenant whose key it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The owner, or an administrator: everything.
    Full,
    /// Another caller of the tenant: may read.
    ReadOnly,
}

impl Access {
    /// What `caller` may do with a record of `owner` (CONTRACT 6).
    pub fn of(caller: &Principal, owner: &Login) -> Self {
        if caller.is_administrator || caller.login == *owner { Self::Full } else { Self::ReadOnly }
    }

    /// The right to the whole record.
    pub fn table_mask(self) -> TableMask {
        match self {
            Self::Full => TableMask::Full,
            Self::ReadOnly => TableMask::Select,
        }
    }

    /// The right to each of the record's fields.
    pub fn field_mask(self) -> FieldMask {
        match self {
            Self::Full => FieldMask::Update,
            Self::ReadOnly => FieldMask::ReadOnly,
        }
    }
}

/// A right to a record, displayed by the name that the wire uses (`ETableRight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableMask {
    /// Select, update, insert and delete.
    Full,
    /// Only reading.
    Select,
}

impl fmt::Display for TableMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Select => "Select",
        })
    }
}

/// A right to a field, displayed by the names that the wire uses (`EFieldRight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldMask {
    /// Reading and writing.
    Update,
    /// Reading, with the hint to show the field read-only.
    ReadOnly,
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Update => "Update",
            Self::ReadOnly => "Read, UIHintReadOnly",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantId;

    /// CONTRACT 6: owner or administrator `FULL`, another caller `Select`.
    #[test]
    fn owner_and_administrator_have_full_access_others_read() {
        let caller = |login, is_administrator| Principal {
            tenant: TenantId::single(),
            login: Login::parse(login).expect("login"),
            is_administrator,
        };
        let owner = Login::parse("tje0").expect("login");
        for (caller, masks) in [
            (caller("tje0", false), ("FULL", "Update")),
            (caller("admin", true), ("FULL", "Update")),
            (caller("other", false), ("Select", "Read, UIHintReadOnly")),
        ] {
            let access = Access::of(&caller, &owner);
            let told = (access.table_mask().to_string(), access.field_mask().to_string());
            assert_eq!((told.0.as_str(), told.1.as_str()), masks, "{caller:?}");
        }
    }
}
