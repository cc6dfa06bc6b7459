"""What a search comes to, as plain values, a page and a card."""
