//! A caller's rights to a record, and their names in answers (CONTRACT 5, 6).
//!
//! Invariant: the rights in answers are the rights that are applied, because both come from `Access`.

use std::fmt;

use crate::{Field, Login, Principal};

/// A caller's access to one record of its own tenant whose key it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The owner, or an administrator: everything.
    Full,
    /// Another caller of the tenant: may read.
    ReadOnly,
    /// Another caller, if only owners may retrieve: nothing.
    Denied,
}

/// The callers who may retrieve tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retrieval {
    /// Every caller of the tenant with the key.
    ByKey,
    /// The owner and administrators, who also need the key.
    ByOwner,
}

impl Access {
    /// Returns the access of `caller` to a record of `owner` (CONTRACT 6).
    pub fn of(caller: &Principal, owner: &Login, retrieval: Retrieval) -> Self {
        let is_own = caller.is_administrator || caller.login == *owner;
        match retrieval {
            _ if is_own => Self::Full,
            Retrieval::ByKey => Self::ReadOnly,
            Retrieval::ByOwner => Self::Denied,
        }
    }

    /// Returns whether the caller may read the record's tokens.
    pub fn may_read(self) -> bool {
        match self {
            Self::Full | Self::ReadOnly => true,
            Self::Denied => false,
        }
    }

    /// Returns the right to the whole record.
    pub fn table_mask(self) -> TableMask {
        match self {
            Self::Full => TableMask::Full,
            Self::ReadOnly => TableMask::Select,
            Self::Denied => TableMask::None,
        }
    }

    /// Returns the right to one of the record's fields.
    pub fn field_mask(self, field: Field) -> FieldMask {
        match self {
            Self::Full if field == Field::Provider => FieldMask::Mandatory,
            Self::Full => FieldMask::Update,
            Self::ReadOnly => FieldMask::ReadOnly,
            Self::Denied => FieldMask::None,
        }
    }
}

/// A right to a record. `Display` writes its name on the wire (`ETableRight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableMask {
    /// Select, update, insert and delete.
    Full,
    /// Only reading.
    Select,
    /// Nothing.
    None,
}

impl fmt::Display for TableMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Select => "Select",
            Self::None => "None",
        })
    }
}

/// A right to a field. `Display` writes its names on the wire (`EFieldRight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldMask {
    /// Reading and writing.
    Update,
    /// Reading and writing, with the hint that the field must have a value.
    Mandatory,
    /// Reading, with the hint to show the field read-only.
    ReadOnly,
    /// Nothing.
    None,
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Update => "Update",
            Self::Mandatory => "Update, UIHintMandatory",
            Self::ReadOnly => "Read, UIHintReadOnly",
            Self::None => "None",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TenantId;

    /// CONTRACT 6: owner or administrator `FULL`; another caller `Select`, or nothing.
    #[test]
    fn owner_and_administrator_have_full_access_others_read_or_not() {
        let caller = |login, is_administrator| Principal {
            tenant: TenantId::single(),
            login: Login::parse(login).expect("login"),
            is_administrator,
        };
        let owner = Login::parse("tje0").expect("login");
        for (caller, retrieval, masks) in [
            (caller("tje0", false), Retrieval::ByKey, ("FULL", "Update")),
            (caller("admin", true), Retrieval::ByKey, ("FULL", "Update")),
            (caller("other", false), Retrieval::ByKey, ("Select", "Read, UIHintReadOnly")),
            (caller("tje0", false), Retrieval::ByOwner, ("FULL", "Update")),
            (caller("admin", true), Retrieval::ByOwner, ("FULL", "Update")),
            (caller("other", false), Retrieval::ByOwner, ("None", "None")),
        ] {
            let access = Access::of(&caller, &owner, retrieval);
            assert_eq!(access.may_read(), masks.0 != "None");
            let of_field = |field| access.field_mask(field).to_string();
            let told = (access.table_mask().to_string(), of_field(Field::AccessToken));
            let of_provider =
                if access == Access::Full { "Update, UIHintMandatory" } else { masks.1 };
            assert_eq!(of_field(Field::Provider), of_provider);
            assert_eq!((told.0.as_str(), told.1.as_str()), masks, "{caller:?}");
        }
    }
}
