"""Language models, whoever runs them: behind an endpoint, or on weights of our own."""
