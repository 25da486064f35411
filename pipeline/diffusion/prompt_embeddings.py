"""Prompts as the UNet takes them: weights and any length by Compel, each distinct text encoded once.

Nothing of a prompt is cut off: one beyond the text encoder's window takes several windows; what XL pools besides is of
the first window, as it was trained. A prompt and its negative are padded to one length, and never to that of another
picture: it would be another picture.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

import pyparsing
import torch
from compel import Compel, DiffusersTextualInversionManager
from compel.embeddings_provider import EmbeddingsProvider
from compel.prompt_parser import Conjunction, FlattenedPrompt

from pipeline.errors import PromptError
from pipeline.recipes.prompt_weights import _UNREADABLE, parse_prompt

CACHED_PROMPTS = 512  # embeddings of the last distinct texts, some 120 kB each for SD 1.5
pyparsing.ParserElement.enable_packrat()  # else each pair of parentheses is read anew for each around it: 60 s for 8
_LOST_WORD = re.compile(r"couldn't find (start|end) of token sequence|token sequence mismatch for fragment")


@dataclass(frozen=True)
class PromptEmbedding:
    """A prompt and its negative: [1, 77 * chunks, width] each; for SDXL also pooled, [1, width]."""

    prompt: torch.Tensor
    negative: torch.Tensor
    pooled: torch.Tensor | None
    negative_pooled: torch.Tensor | None
    chunks: int


@dataclass(frozen=True)
class _Text:
    """One text by each text encoder, [1, 77 * chunks, width of the encoder], and pooled by the second."""

    sides: tuple[torch.Tensor, ...]
    pooled: torch.Tensor | None


class PromptEncoder:
    """The text encoders of a loaded pipeline, of which the last `skip` layers are left out."""

    def __init__(self, pipe: Any, skip: int = 0, *, keep: bool = True) -> None:  # noqa: ANN401 - one of diffusers' pipelines, which share no type
        self._xl = getattr(pipe, "text_encoder_2", None) is not None
        encoders = [(pipe.tokenizer, pipe.text_encoder)]
        encoders += [(pipe.tokenizer_2, pipe.text_encoder_2)] if self._xl else []
        self._encoders = [_encoder(pipe, tokenizer, model, skip, xl=self._xl) for tokenizer, model in encoders]
        self._text = functools.lru_cache(maxsize=CACHED_PROMPTS)(self._encode) if keep else self._encode

    def of(self, prompt: str, negative: str, *, anew: bool = False) -> PromptEmbedding:
        """Return a pair of prompts; `anew` asks the encoders again. Raises `PromptError` for what cannot be read."""
        texts = [self._encode(text) if anew else self._text(text) for text in (prompt, negative)]
        sides = [
            torch.cat(encoder.pad_conditioning_tensors_to_same_length([text.sides[number] for text in texts]))
            for number, encoder in enumerate(self._encoders)
        ]
        both = torch.cat(sides, dim=-1)  # [2, 77 * chunks, width]
        chunks = both.shape[1] // self._encoders[0].conditioning_provider.max_token_count
        return PromptEmbedding(both[:1], both[1:], texts[0].pooled, texts[1].pooled, chunks)

    @torch.inference_mode()
    def _encode(self, text: str) -> _Text:
        parsed = parse_prompt(text, xl=self._xl)
        try:
            sides = [encoder.build_conditioning_tensor_for_conjunction(parsed)[0] for encoder in self._encoders]
        except _UNREADABLE as error:
            message = f"prompt {text!r}: {error}"
            raise PromptError(message) from error
        except RuntimeError as error:  # a device's own are no fault of a prompt
            if not _LOST_WORD.search(str(error)):
                raise
            message = f"prompt {text!r}: {error}"
            raise PromptError(message) from error
        last = self._encoders[-1].conditioning_provider
        return _Text(tuple(sides), last.get_pooled_embeddings([_plain(parsed)]) if self._xl else None)


class _Provider(EmbeddingsProvider):  # type: ignore[misc]  # Compel has no types
    """Compel's, which takes the last layer or the last but one, and here any."""

    skip: int
    xl: bool

    def _encode_token_ids_to_embeddings(
        self, token_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the states behind the layers that are left, as diffusers' `clip_skip` does: for SDXL unnormalised."""
        said = self.text_encoder(token_ids, attention_mask, output_hidden_states=True, return_dict=True)
        if self.xl:  # which was trained on the last layer but one
            states: torch.Tensor = said.hidden_states[-(self.skip + 2)]
            return states
        if not self.skip:
            last: torch.Tensor = said.last_hidden_state
            return last
        normalised: torch.Tensor = self.text_encoder.final_layer_norm(said.hidden_states[-(self.skip + 1)])
        return normalised


def _encoder(pipe: Any, tokenizer: Any, model: Any, skip: int, *, xl: bool) -> Compel:  # noqa: ANN401 - transformers' auto classes
    """Return Compel over one text encoder."""
    inversions, device = _Inversions(pipe, tokenizer), pipe._execution_device  # noqa: SLF001 - where a model works, not where it waits
    compel = Compel(tokenizer, model, textual_inversion_manager=inversions, truncate_long_prompts=False, device=device)
    provider = _Provider(tokenizer, model, textual_inversion_manager=inversions, truncate=False, device=device)
    provider.skip, provider.xl = skip, xl
    compel.conditioning_provider = provider
    return compel


class _Inversions(DiffusersTextualInversionManager):  # type: ignore[misc]  # Compel has no types
    """Compel's, which knows the pipeline's first tokenizer alone."""

    def __init__(self, pipe: Any, tokenizer: Any) -> None:  # noqa: ANN401 - as above
        super().__init__(pipe)
        self._tokenizer = tokenizer

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        """Return the tokens with all the vectors of a textual inversion for its first."""
        if not token_ids or not any(token in self._tokenizer.get_added_vocab().values() for token in token_ids):
            return token_ids
        text = self.pipe.maybe_convert_prompt(self._tokenizer.decode(token_ids), self._tokenizer)
        expanded: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return expanded


def _plain(parsed: Conjunction) -> str:
    """Return a prompt's words without their weights: what is pooled knows none."""
    prompts = [part for part in parsed.prompts if isinstance(part, FlattenedPrompt)]
    return " ".join(fragment.text for prompt in prompts for fragment in prompt.children)
