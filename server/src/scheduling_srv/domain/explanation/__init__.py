"""Why a job ran, ran late, or did not run: from facts to reasons, and to sentences."""
