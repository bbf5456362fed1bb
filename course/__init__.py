"""What a teacher of the book needs: guides, assignments and their marking."""
