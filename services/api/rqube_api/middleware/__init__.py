"""What happens to every request, one module each; `app.py` puts them in order."""
