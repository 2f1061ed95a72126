"""What a domain promises, checked: a pytest class for its tests, and what ``distsys check-domain`` runs."""
