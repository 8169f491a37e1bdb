"""authdaemond: tells the mail servers who a client is."""
