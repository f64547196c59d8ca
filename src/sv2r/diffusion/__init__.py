"""What the translators share: loading, embeddings, latents."""
