"""Networks on another camera than they were trained on: what their AUC loses, and what each remedy gives back."""
