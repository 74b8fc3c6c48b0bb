//! Who may connect: lists, the rule of the hierarchy, chains of policies.
