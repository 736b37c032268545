"""Docker's JSON to the model: read, checked where Docker checks it, in Docker's words."""
