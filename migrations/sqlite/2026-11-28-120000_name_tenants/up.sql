-- The name of the tenant in the case in which it was first given, the same for all users of a tenant. NULL for users
-- who were added before this column, until the next user of the tenant is added.
ALTER TABLE users ADD COLUMN tenant_name TEXT;
